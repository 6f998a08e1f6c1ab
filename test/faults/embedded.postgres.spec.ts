import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { chmod, cp, mkdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { createServer } from 'node:net';
import { once } from 'node:events';
import { dirname, join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import pg from 'pg';

import { EmbeddedPostgres } from '../../src/database/embedded-postgres.js';
import type { EmbeddedPostgresOptions } from '../../src/database/embedded-postgres.js';
import { postgresBinaries } from '../../src/database/postgres-binaries.js';
import { BootError } from '../../src/errors/boot-error.js';
import { identify } from '../../src/database/process-identity.js';
import { newFolder, TestProcess, until } from '../database/processes.js';

const ROOT = process.getuid?.() === 0;
const describeAsRoot = ROOT ? describe : describe.skip;
if (!ROOT)
  process.stdout.write('skipped, they need root: the tests of a Postgres that runs as another user\n');
const itOnLinux = process.platform === 'linux' ? it : it.skip;
if (process.platform !== 'linux')
  process.stdout.write('skipped, they need /proc: the tests of reused pids\n');

/** A service reduced to its database, as a process that can be killed. */
const SERVICE = `
  const { EmbeddedPostgres } = await import(process.argv[1]);
  const postgres = new EmbeddedPostgres({ dataDir: process.argv[2] });
  console.log('starting');
  console.log(JSON.stringify(await postgres.start()));
  setInterval(() => {}, 1000);
`;

let folder: string;
let dataDir: string;
let opened: EmbeddedPostgres[];
let services: TestProcess[];

beforeEach(async () => {
  folder = await newFolder();
  dataDir = join(folder, 'data');
  opened = [];
  services = [];
});

afterEach(async () => {
  for (const service of services) await service.end('SIGKILL');
  for (const postgres of opened) await postgres.stop();
  // A test that failed half-way may have left a postmaster that none of them owns.
  const left = postmasterPid();
  if (left !== undefined && identify(left) !== undefined) killGroup(left);
  await rm(folder, { recursive: true, force: true, maxRetries: 5 });
});

function open(options: Partial<EmbeddedPostgresOptions> = {}): EmbeddedPostgres {
  const postgres = new EmbeddedPostgres({ dataDir, ...options });
  opened.push(postgres);
  return postgres;
}

function serve(): TestProcess {
  const module = pathToFileURL(resolve('dist/database/embedded-postgres.js')).href;
  const service = new TestProcess(['--input-type=module', '-e', SERVICE, module, dataDir]);
  services.push(service);
  return service;
}

async function query(url: string, sql: string): Promise<Record<string, unknown>[]> {
  const client = new pg.Client({ connectionString: url });
  client.on('error', () => undefined);
  await client.connect();
  try {
    return (await client.query<Record<string, unknown>>(sql)).rows;
  } finally {
    await client.end();
  }
}

function postmasterPid(): number | undefined {
  const path = join(dataDir, 'postgres/postmaster.pid');
  return existsSync(path) ? Number(readFileSync(path, 'utf8').split('\n')[0]) : undefined;
}

function killGroup(pid: number): void {
  process.kill(-pid, 'SIGKILL');
}

const isGone = (pid: number) => () => identify(pid) === undefined;

describe('a first start', () => {
  it('answers as superuser belfry on 127.0.0.1 alone, in UTF-8, with durable commits', async () => {
    const { url } = await open().start();
    expect(new URL(url)).toMatchObject({ username: 'belfry', hostname: '127.0.0.1', pathname: '/belfry' });
    const [settings] = await query(
      url,
      `select usesuper as super, current_setting('server_encoding') as encoding, current_setting('fsync') as fsync,
              current_setting('synchronous_commit') as commit, current_setting('listen_addresses') as addresses,
              current_setting('unix_socket_directories') as sockets, current_setting('max_connections') as connections
       from pg_user where usename = current_user`,
    );
    expect(settings).toEqual({
      super: true,
      encoding: 'UTF8',
      fsync: 'on',
      commit: 'on',
      addresses: '127.0.0.1',
      sockets: '',
      connections: '100',
    });
  });

  it('keeps the password to its owner and refuses every other one', async () => {
    const { url } = await open().start();
    const { mode } = await stat(join(dataDir, 'postgres.json'));
    expect(mode & 0o777).toBe(0o600);
    const wrong = new URL(url);
    wrong.password = 'wrong';
    await expect(query(wrong.href, 'select 1')).rejects.toMatchObject({ code: '28P01' });
  });

  itOnLinux('puts Postgres out of reach of a Ctrl-C meant for the service', async () => {
    await open().start();
    const pid = postmasterPid()!;
    const group = Number(/\) . \d+ (\d+) /.exec(readFileSync(`/proc/${pid}/stat`, 'utf8'))?.[1]);
    expect(group).toBe(pid);
  });

  it('begins anew after a kill -9 in the middle of initdb', async () => {
    const service = serve();
    const isStaging = (name: string) => name.startsWith('postgres.new-');
    await until('initdb has begun', () => existsSync(dataDir) && readdirSync(dataDir).some(isStaging));
    await service.end('SIGKILL');
    expect(existsSync(join(dataDir, 'postgres'))).toBe(false);

    const { url } = await open().start();
    expect(await query(url, 'select 1 as one')).toEqual([{ one: 1 }]);
  });

  it('sets aside a folder that holds no finished cluster, and deletes nothing of it', async () => {
    await mkdir(join(dataDir, 'postgres'), { recursive: true });
    await writeFile(join(dataDir, 'postgres/PG_VERSION'), '18\n');
    const said: string[] = [];
    const { url } = await open({ log: message => said.push(message) }).start();
    expect(await query(url, 'select 1 as one')).toEqual([{ one: 1 }]);
    const aside = readdirSync(dataDir).find(name => name.startsWith('postgres.unfinished-'))!;
    expect(await readFile(join(dataDir, aside, 'PG_VERSION'), 'utf8')).toBe('18\n');
    expect(said.join()).toContain(aside);
  });

  it('says to set DATABASE_URL on a platform without a package', async () => {
    const arch = Object.getOwnPropertyDescriptor(process, 'arch')!;
    Object.defineProperty(process, 'arch', { ...arch, value: 'mips' });
    try {
      await expect(open().start()).rejects.toThrow(
        /There is no embedded Postgres for .*mips.*set DATABASE_URL/,
      );
    } finally {
      Object.defineProperty(process, 'arch', arch);
    }
  });
});

describe('start and stop', () => {
  it('may be called twice, and leave no process and no lock', async () => {
    const postgres = open();
    const [first, second] = await Promise.all([postgres.start(), postgres.start()]);
    expect(second).toEqual(first);
    const pid = postmasterPid()!;
    await Promise.all([postgres.stop(), postgres.stop()]);
    await postgres.stop();
    expect(isGone(pid)()).toBe(true);
    expect(existsSync(join(dataDir, 'owner.pid'))).toBe(false);
  });

  it('keep the data, the password and the port', async () => {
    const postgres = open();
    const { url } = await postgres.start();
    await query(url, 'create table kept as select 42 as answer');
    await postgres.stop();
    expect(await postgres.start()).toMatchObject({ url });
    expect(await query(url, 'select answer from kept')).toEqual([{ answer: 42 }]);
  });

  it('end with nothing running when a stop overtakes a start', async () => {
    const postgres = open();
    const starting = postgres.start();
    await postgres.stop();
    await starting;
    expect(postmasterPid()).toBeUndefined();
  });

  it('stop while clients are connected', async () => {
    const postgres = open();
    const client = new pg.Client({ connectionString: (await postgres.start()).url });
    client.on('error', () => undefined);
    await client.connect();
    const cut = new Promise<void>(done => client.once('end', done));
    await postgres.stop();
    await cut;
  });

  it('move to another port when the last one is taken', async () => {
    const postgres = open();
    const { url } = await postgres.start();
    await query(url, 'create table kept as select 42 as answer');
    await postgres.stop();
    const squatter = createServer().listen(Number(new URL(url).port), '127.0.0.1');
    await once(squatter, 'listening');
    try {
      const moved = await postgres.start();
      expect(new URL(moved.url).port).not.toBe(new URL(url).port);
      expect(await query(moved.url, 'select answer from kept')).toEqual([{ answer: 42 }]);
    } finally {
      squatter.close();
    }
  });
});

describe('after a crash', () => {
  it('of Postgres alone tells the service why, and the next start has every commit', async () => {
    let heard: string | undefined;
    const postgres = open({ onExit: reason => (heard = reason) });
    const { url } = await postgres.start();
    await query(url, 'create table kept as select 42 as answer');
    killGroup(postmasterPid()!);
    await until('onExit is called', () => heard !== undefined);
    expect(heard).toContain('ready to accept connections');
    await postgres.stop();
    await postgres.start();
    expect(await query(url, 'select answer from kept')).toEqual([{ answer: 42 }]);
  });

  it('of the postmaster alone waits for its orphaned backends', async () => {
    const postgres = open();
    const { url } = await postgres.start();
    const busy = query(url, 'select pg_sleep(60)').catch(() => 'cut');
    await query(url, 'create table kept as select 42 as answer');
    const pid = postmasterPid()!;
    process.kill(pid, 'SIGKILL');
    await until('the postmaster is gone', isGone(pid));
    await postgres.stop();
    await postgres.start();
    expect(await query(url, 'select answer from kept')).toEqual([{ answer: 42 }]);
    expect(await busy).toBe('cut');
  });

  it('of service and Postgres together recovers', async () => {
    const service = serve();
    await service.prints('"url"');
    const { url } = JSON.parse(service.lines.at(-1)!) as { url: string };
    await query(url, 'create table kept as select 42 as answer');
    await service.end('SIGKILL');
    killGroup(postmasterPid()!);
    await open().start();
    expect(await query(url, 'select answer from kept')).toEqual([{ answer: 42 }]);
  });

  it('of the service adopts the Postgres that it left, and can stop it', async () => {
    const service = serve();
    await service.prints('"url"');
    const left = postmasterPid()!;
    await service.end('SIGKILL');
    const postgres = open();
    const { url } = await postgres.start();
    expect(postmasterPid()).toBe(left);
    expect(JSON.parse(service.lines.at(-1)!)).toMatchObject({ url });
    await postgres.stop();
    expect(isGone(left)()).toBe(true);
  });

  itOnLinux('starts although the pid of the dead postmaster is another process by now', async () => {
    const service = serve();
    await service.prints('"url"');
    await service.end('SIGKILL');
    const pid = postmasterPid()!;
    killGroup(pid);
    await until('the postmaster is gone', isGone(pid));
    const path = join(dataDir, 'postgres/postmaster.pid');
    const content = await readFile(path, 'utf8');
    await writeFile(path, content.replace(/^\d+/, `${process.pid}`));
    const { url } = await open().start();
    expect(await query(url, 'select 1 as one')).toEqual([{ one: 1 }]);
  });
});

describe('a data directory', () => {
  it('that another service uses is refused with its pid and what to do', async () => {
    const service = serve();
    await service.prints('"url"');
    await expect(open().start()).rejects.toThrow(
      new BootError(
        `The data directory ${dataDir} is in use by process ${service.pid}: stop it, or set BELFRY_DATA_DIR to ` +
          'another folder.',
      ),
    );
    expect(identify(postmasterPid()!)).toBeDefined();
  });

  it('that another instance of this process uses is refused too', async () => {
    await open().start();
    await expect(open().start()).rejects.toThrow(`in use by process ${process.pid}`);
  });

  it('is used by one of several services that start at once', async () => {
    const outcomes = await Promise.allSettled([open().start(), open().start(), open().start()]);
    expect(outcomes.filter(outcome => outcome.status === 'fulfilled')).toHaveLength(1);
  });

  itOnLinux('is taken over from an owner whose pid is another process by now', async () => {
    await mkdir(dataDir);
    await writeFile(join(dataDir, 'owner.pid'), `${process.pid} 1\n`);
    await expect(open().start()).resolves.toBeDefined();
  });

  it('that cannot be written is refused with what to do', async () => {
    // No mode keeps root from writing; a file in place of a folder does.
    const parent = join(folder, 'closed');
    if (ROOT) await writeFile(parent, '');
    else await mkdir(parent, { mode: 0o555 });
    dataDir = join(parent, 'data');
    const starting = open().start();
    await expect(starting).rejects.toBeInstanceOf(BootError);
    await expect(starting).rejects.toThrow(
      /cannot be written \((ENOTDIR|EACCES)\): make it writable .* BELFRY_DATA_DIR/,
    );
  });
});

describeAsRoot('as root, in a folder that no other user can enter', () => {
  it('keeps the data in a folder of the system, says where, and finds it again', async () => {
    const closed = join(folder, 'root');
    await mkdir(closed, { mode: 0o700 });
    const systemFolder = join(folder, 'system');
    const said: string[] = [];
    const options = {
      dataDir: join(closed, 'clone/.belfry'),
      systemFolder,
      log: (text: string) => said.push(text),
    };
    const postgres = open(options);
    const first = await postgres.start();
    expect(first.dataDir).toMatch(new RegExp(`^${systemFolder}/clone-[0-9a-f]{10}$`));
    expect(said.join()).toContain(`its data is in ${first.dataDir}`);
    await query(first.url, 'create table kept as select 42 as answer');
    await postgres.stop();

    // Also when the folder can be entered by then: the data is where it is.
    await chmod(closed, 0o755);
    const second = await open(options).start();
    expect(second).toEqual(first);
    expect(await query(second.url, 'select answer from kept')).toEqual([{ answer: 42 }]);
  });

  it('refuses to begin an empty database when the one it had is out of reach', async () => {
    const closed = join(folder, 'root');
    const options = { dataDir: join(closed, '.belfry'), systemFolder: join(folder, 'system') };
    await mkdir(closed);
    const postgres = open(options);
    await postgres.start();
    await postgres.stop();
    await chmod(closed, 0o700);
    await expect(open(options).start()).rejects.toThrow(/cannot enter that folder any more.*chmod o\+x/);
  });

  it('runs programs that were installed there from a copy, links and all, made once', async () => {
    const require = createRequire(import.meta.url);
    const platform = `${process.platform}-${process.arch}`;
    const packaged = resolve(dirname(require.resolve(`@embedded-postgres/${platform}`)), '..');
    const closed = join(folder, 'root');
    await mkdir(closed, { mode: 0o700 });
    await cp(packaged, join(closed, 'package'), { recursive: true, verbatimSymlinks: true });
    const copies = join(folder, 'system');
    await mkdir(copies);

    const account = { uid: 65_534, gid: 65_534 };
    const both = await Promise.all([
      postgresBinaries(account, copies, join(closed, 'package')),
      postgresBinaries(account, copies, join(closed, 'package')),
    ]);
    expect(both[1]).toEqual(both[0]);
    expect(readdirSync(copies)).toHaveLength(1);
    const { initdb, postgres } = both[0];
    expect(initdb.startsWith(copies)).toBe(true);
    const version = execFileSync(postgres, ['--version'], { ...account, cwd: '/', encoding: 'utf8' });
    expect(version).toMatch(/^postgres \(PostgreSQL\) 18/);
  });
});
