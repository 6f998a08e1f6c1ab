import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { existsSync } from 'node:fs';
import { readFile, rm } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import pg from 'pg';

import { belfry, keyIn, publishWith } from '../cli/running.js';
import { newFolder, TestProcess } from '../database/processes.js';
import { until } from '../support/conditions.js';

/** `postgres.json` of a data directory. */
interface Access {
  readonly password: string;
  readonly port: number;
}

describe('npm run belfry in demo mode', () => {
  let folder: string;
  let dataDir: string;
  let env: NodeJS.ProcessEnv;
  let services: TestProcess[];

  beforeEach(async () => {
    folder = await newFolder();
    dataDir = join(folder, 'data');
    env = { BELFRY_DATA_DIR: dataDir };
    services = [];
  });
  afterEach(async () => {
    for (const service of services) await service.end('SIGTERM');
    await rm(folder, { recursive: true, force: true, maxRetries: 5 });
  });

  const create = () => belfry(env, 'keys', 'create', '--name', 'x', '--scope', 'publish');

  function start(): TestProcess {
    const service = new TestProcess([resolve('bin/start.js')], {
      PATH: process.env['PATH'],
      PORT: '0',
      ...env,
    });
    services.push(service);
    return service;
  }

  const addressOf = ({ output }: TestProcess) => /http:\/\/127\.0\.0\.1:\d+/.exec(output)![0];

  function expectNothingRuns(): void {
    expect(existsSync(join(dataDir, 'postgres/PG_VERSION'))).toBe(true);
    expect(existsSync(join(dataDir, 'postgres/postmaster.pid'))).toBe(false);
    expect(existsSync(join(dataDir, 'owner.pid'))).toBe(false);
  }

  it('starts the embedded Postgres for the command alone, and the service takes the key afterwards', async () => {
    const { key, id } = keyIn(await create());
    expectNothingRuns();
    expect((await belfry(env, 'keys', 'list')).stdout).toContain(id);
    expectNothingRuns();

    const service = start();
    await service.prints('http://');
    expect(await publishWith(key, addressOf(service))).toBe(201);
  });

  it('uses the Postgres of a running service, and leaves it running', async () => {
    const service = start();
    await service.prints('http://');
    const { key, id } = keyIn(await create());
    expect(await publishWith(key, addressOf(service))).toBe(201);
    expect((await belfry(env, 'keys', 'list')).stdout).toContain(id);
    expect((await belfry(env, 'keys', 'revoke', id)).code).toBe(0);
    expect((await belfry(env, 'keys', 'list')).stdout).toMatch(new RegExp(`^${id} .* revoked `, 'm'));
    expect((await fetch(`${addressOf(service)}/health/ready`)).status).toBe(200);
    expect(await service.end('SIGTERM')).toBe(0);
    expectNothingRuns();
  });

  it('waits for a service that is just starting', async () => {
    const service = start();
    await until('the service holds the data directory', () => existsSync(join(dataDir, 'owner.pid')));
    const { key } = keyIn(await create());
    await service.prints('http://');
    expect(await publishWith(key, addressOf(service))).toBe(201);
  });

  it('that does not let it in is said in a sentence', async () => {
    keyIn(await create());
    await rm(join(dataDir, 'postgres.json'));
    expect(await create()).toMatchObject({
      code: 1,
      stdout: '',
      stderr: expect.stringMatching(/^[^\n]*postgres\.json[^\n]*\.\n$/),
    });
  });

  it('stops the Postgres that it took over when it is interrupted', async () => {
    const service = start();
    await service.prints('http://');
    await service.end('SIGKILL');
    const { password, port } = JSON.parse(await readFile(join(dataDir, 'postgres.json'), 'utf8')) as Access;
    const client = new pg.Client(`postgres://belfry:${password}@127.0.0.1:${port}/belfry`);
    client.on('error', () => undefined);
    await client.connect();
    await client.query('begin; lock table belfry.api_keys');

    const command = new TestProcess([resolve('bin/belfry.js'), 'keys', 'list'], {
      PATH: process.env['PATH'],
      ...env,
    });
    services.push(command);
    await until('the command waits for the table', async () => {
      const { rows } = await client.query('select from pg_locks where not granted');
      return rows.length > 0;
    });
    expect(await command.end('SIGINT')).toBe(1);
    expect(command.output).toMatch(/^SIGINT: .*\.$/);
    expectNothingRuns();
  });
});
