import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { existsSync, readFileSync } from 'node:fs';
import { cp, mkdir, readdir, rm, stat, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';

import { newFolder, TestProcess, until } from './processes.js';

/** Stands for a service: it says which version it is, and ends well when asked to. */
const service = (version: string) => `
  process.on('SIGTERM', () => process.exit(0));
  setInterval(() => {}, 1000);
  console.log('ready ${version}');
`;

/** Stands for Nest's compiler: it counts its runs, waits while there is a file `hold`, and copies main. */
const COMPILER = `
  import { appendFileSync, copyFileSync, existsSync, mkdirSync, readFileSync, rmSync } from 'node:fs';
  import { setTimeout as delay } from 'node:timers/promises';
  appendFileSync('builds', process.pid + '\\n');
  rmSync('dist', { recursive: true, force: true });
  mkdirSync('dist');
  while (existsSync('hold')) await delay(5);
  if (readFileSync('src/main.ts', 'utf8').includes('wrong')) {
    console.log('main.ts is wrong');
    process.exit(1);
  }
  copyFileSync('src/main.ts', 'dist/main.js');
`;

let clone: string;
let started: TestProcess[];

beforeEach(async () => {
  clone = await newFolder();
  started = [];
  await cp('bin', join(clone, 'bin'), { recursive: true });
  await mkdir(join(clone, 'node_modules/@nestjs/cli/bin'), { recursive: true });
  await writeFile(join(clone, 'node_modules/@nestjs/cli/package.json'), '{"type":"module"}');
  await writeFile(join(clone, 'node_modules/@nestjs/cli/bin/nest.js'), COMPILER);
  await mkdir(join(clone, 'src'));
  for (const file of ['package.json', 'tsconfig.json', 'nest-cli.json', 'package-lock.json']) {
    await writeFile(join(clone, file), '{"type":"module"}');
  }
  await edit('one');
});

afterEach(async () => {
  await rm(join(clone, 'hold'), { force: true });
  for (const process of started) await process.end('SIGKILL');
  await rm(clone, { recursive: true, force: true, maxRetries: 5 });
});

const edit = (version: string) => writeFile(join(clone, 'src/main.ts'), service(version));

function start(): TestProcess {
  const process = new TestProcess([join(clone, 'bin/start.js')]);
  started.push(process);
  return process;
}

function builds(): number {
  const path = join(clone, 'builds');
  return existsSync(path) ? readFileSync(path, 'utf8').trim().split('\n').length : 0;
}

describe('npm start', () => {
  it('builds at the first start and not at the second', async () => {
    const first = start();
    await first.prints('ready one');
    expect(first.lines[0]).toBe('Building…');
    expect(first.lines[1]).toMatch(/^Built in \d+\.\d s\.$/);
    await first.end('SIGTERM');

    const second = start();
    await second.prints('ready one');
    expect(second.lines).toEqual(['ready one']);
    expect(builds()).toBe(1);
  });

  it.each([
    ['a source', 'src/main.ts'],
    ['a new source', 'src/more.ts'],
    ['a compiler setting', 'tsconfig.json'],
    ['the locked versions', 'package-lock.json'],
  ])('builds again after a change of %s', async (_what, file) => {
    const first = start();
    await first.prints('ready one');
    await first.end('SIGTERM');
    await writeFile(join(clone, file), `${service('two')}//`);
    const second = start();
    await second.prints('ready');
    expect(builds()).toBe(2);
  });

  it('does not build when a file was written anew with the same content', async () => {
    const first = start();
    await first.prints('ready one');
    await first.end('SIGTERM');
    await edit('one');
    await start().prints('ready one');
    expect(builds()).toBe(1);
  });

  it('passes signals to the service, and its exit code on', async () => {
    const process = start();
    await process.prints('ready one');
    expect(await process.end('SIGTERM')).toBe(0);
  });

  it('refuses to build under a running instance, and says which', async () => {
    const running = start();
    await running.prints('ready one');
    await edit('two');
    const refused = start();
    expect(await refused.ended).toBe(1);
    expect(refused.output).toBe(
      `The sources changed, and process ${running.pid} runs the last build of this clone: stop it, then start again.`,
    );
    await running.end('SIGTERM');
    await start().prints('ready two');
  });

  it('starts beside a running instance when nothing changed', async () => {
    await start().prints('ready one');
    await start().prints('ready one');
    expect(builds()).toBe(1);
  });

  it('builds after a kill -9 of the last instance', async () => {
    const killed = start();
    await killed.prints('ready one');
    await killed.end('SIGKILL');
    await edit('two');
    await start().prints('ready two');
    expect(await readdir(join(clone, 'node_modules/.cache/belfry/running'))).toHaveLength(1);
  });

  it('builds once for several that start at the same time', async () => {
    const all = [start(), start(), start()];
    await Promise.all(all.map(process => process.prints('ready one')));
    expect(builds()).toBe(1);
  });

  it('builds again after a kill -9 in the middle, when the orphaned compiler has ended', async () => {
    await writeFile(join(clone, 'hold'), '');
    const killed = start();
    await until('the compiler runs', () => builds() === 1);
    await killed.end('SIGKILL');
    const next = start();
    await rm(join(clone, 'hold'));
    await next.prints('ready one');
    expect(next.output).toContain('Building…');
    expect(builds()).toBe(2);
  });

  it('shows what the compiler said when it fails, and does not run the old build', async () => {
    const first = start();
    await first.prints('ready one');
    await first.end('SIGTERM');
    await edit('wrong');
    const failed = start();
    expect(await failed.ended).toBe(1);
    expect(failed.output).toContain('main.ts is wrong');
    expect(failed.output).toContain('The build failed');
    expect(failed.output).not.toContain('ready');
  });

  it('says to run npm ci when there is no node_modules folder', async () => {
    await rm(join(clone, 'node_modules'), { recursive: true });
    const failed = start();
    expect(await failed.ended).toBe(1);
    expect(failed.output).toMatch(/^There is no node_modules folder in .*: run npm ci first\.$/);
  });
});

describe('the real build', () => {
  it('is there, and found current in under 300 ms', async () => {
    const build = pathToFileURL(resolve('bin/build.js')).href;
    const { ensureBuilt } = (await import(build)) as { ensureBuilt: () => Promise<void> };
    const before = await stat(resolve('dist/.built'));
    const began = performance.now();
    await ensureBuilt();
    expect(performance.now() - began).toBeLessThan(300);
    expect((await stat(resolve('dist/.built'))).ino).toBe(before.ino);
  });

  it('serves with an embedded Postgres, and ends with 0 and without it on SIGTERM', async () => {
    const dataDir = join(clone, 'data');
    const env = { PATH: process.env['PATH'], PORT: '0', BELFRY_DATA_DIR: dataDir };
    const service = new TestProcess([resolve('bin/start.js')], env);
    started.push(service);
    await service.prints('http://');
    expect(await service.end('SIGTERM')).toBe(0);
    expect(existsSync(join(dataDir, 'postgres/PG_VERSION'))).toBe(true);
    expect(existsSync(join(dataDir, 'postgres/postmaster.pid'))).toBe(false);
    expect(existsSync(join(dataDir, 'owner.pid'))).toBe(false);
  });
});
