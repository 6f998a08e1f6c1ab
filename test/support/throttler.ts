import * as common from '@nestjs/common';
import * as core from '@nestjs/core';
import type * as Throttler from '@nestjs/throttler';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, resolve } from 'node:path';

/**
 * The throttler is CommonJS and requires Nest, which is not. Node can do that; Jest can from Node 24.9 on. Here its own
 * files are run with Nest as the tests have it.
 */
const given: Readonly<Record<string, unknown>> = { '@nestjs/common': common, '@nestjs/core': core };
const builtin = createRequire(import.meta.url);
const loaded = new Map<string, object>();

function load(file: string): object {
  const known = loaded.get(file);
  if (known) return known;
  const exports = {};
  loaded.set(file, exports);
  const require = (name: string): unknown =>
    name.startsWith('.') ? load(resolve(dirname(file), `${name}.js`)) : (given[name] ?? builtin(name));
  // eslint-disable-next-line @typescript-eslint/no-implied-eval -- in the realm of the test, where Nest's metadata is
  const run = new Function('exports', 'require', readFileSync(file, 'utf8')) as (
    exports: object,
    require: (name: string) => unknown,
  ) => void;
  run(exports, require);
  return exports;
}

export const { ThrottlerGuard, ThrottlerModule } = load(
  resolve('node_modules/@nestjs/throttler/dist/index.js'),
) as typeof Throttler;
