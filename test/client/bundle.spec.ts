import { describe, expect, it } from '@jest/globals';
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { gzipSync } from 'node:zlib';

/** What a page without a bundler loads for a bell, in bytes over the wire. */
const MOST = 25_000;

/** Of the modules that were built before the tests began, as `npm run build` does it. */
const BUNDLE = `
  import { rollup } from 'rollup';
  import configs from './client/rollup.config.js';
  const [bell] = [configs].flat();
  const { output: [{ code }] } = await (await rollup(bell)).generate(bell.output);
  process.stdout.write(code);`;

const IMPORT = `
  import * as client from './client/dist/belfry.js';
  process.stdout.write(Object.keys(client).sort().join());`;

/** Where there is no page, and none of the tests' own transforms. */
function run(script: string): { stdout: string; stderr: string } {
  const { stdout, stderr } = spawnSync(process.execPath, ['--input-type=module', '-e', script], {
    encoding: 'utf8',
    maxBuffer: 2 ** 24,
  });
  return { stdout, stderr };
}

interface Exported {
  readonly types?: string;
  readonly default: string;
}

describe('the bell in one file', () => {
  it('is small, complete and names its licence', () => {
    const { stdout: code, stderr } = run(BUNDLE);
    expect(stderr).toBe('');
    expect(code).toMatch(/^\/\*! @belfry\/client.* MIT\. \*\//);
    expect(code).not.toMatch(/\bimport\s*["'{*]|\bfrom\s*["']/);
    expect(gzipSync(code, { level: 9 }).length).toBeLessThanOrEqual(MOST);
  });
});

describe('the package', () => {
  it('has every file that it exports', () => {
    const { exports } = JSON.parse(readFileSync('client/package.json', 'utf8')) as {
      exports: Record<string, Exported | string>;
    };
    const files = Object.values(exports).flatMap(entry =>
      typeof entry === 'string' ? [entry] : [entry.types ?? entry.default, entry.default],
    );
    expect(files.filter(file => !existsSync(resolve('client', file)))).toEqual([]);
  });

  it('can be imported in Node, where there is no page', () => {
    expect(run(IMPORT)).toEqual({
      stdout: 'BelfryError,Inbox,compareCursors,connect,cursorIn',
      stderr: '',
    });
  });
});
