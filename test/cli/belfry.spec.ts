import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { execFile } from 'node:child_process';
import { cp, mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';

import { newFolder } from '../database/processes.js';

/** Stands for Nest's compiler. */
const COMPILER = `
  import { cpSync } from 'node:fs';
  for (const name of ['main', 'cli']) cpSync('src/' + name + '.ts', 'dist/' + name + '.js');
`;

let clone: string;

beforeEach(async () => {
  clone = await newFolder();
  await cp('bin', join(clone, 'bin'), { recursive: true });
  await mkdir(join(clone, 'node_modules/@nestjs/cli/bin'), { recursive: true });
  await writeFile(join(clone, 'node_modules/@nestjs/cli/package.json'), '{"type":"module"}');
  await writeFile(join(clone, 'node_modules/@nestjs/cli/bin/nest.js'), COMPILER);
  await writeFile(join(clone, 'package.json'), '{"type":"module"}');
  await mkdir(join(clone, 'src'));
  await writeFile(join(clone, 'src/main.ts'), '');
  await writeFile(join(clone, 'src/cli.ts'), `console.log('the answer to', ...process.argv.slice(2));`);
});
afterEach(async () => {
  await rm(clone, { recursive: true, force: true, maxRetries: 5 });
});

const belfry = () => promisify(execFile)(process.execPath, [join(clone, 'bin/belfry.js'), 'keys', 'list']);

describe('npm run belfry', () => {
  it('builds when it has to, and only its answer goes to standard output', async () => {
    const first = await belfry();
    expect(first.stdout).toBe('the answer to keys list\n');
    expect(first.stderr).toMatch(/^Building…\nBuilt in /);
    expect(await belfry()).toEqual({ stdout: 'the answer to keys list\n', stderr: '' });
  });
});
