import { expect } from '@jest/globals';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { resolve } from 'node:path';
import { text } from 'node:stream/consumers';

export interface Ran {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** The command as `npm run belfry --` starts it, with these variables and no others. */
export async function belfry(env: NodeJS.ProcessEnv, ...args: string[]): Promise<Ran> {
  const child = spawn(process.execPath, [resolve('bin/belfry.js'), ...args], {
    env: { PATH: process.env['PATH'], ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const [stdout, stderr, [code]] = await Promise.all([
    text(child.stdout),
    text(child.stderr),
    once(child, 'close') as Promise<[number | null]>,
  ]);
  return { code, stdout, stderr };
}

const KEY = /^bk_([a-z0-9]{12})_[A-Za-z0-9]{43}\n$/;

/** The key that `keys create` printed, and its id. */
export function keyIn({ code, stdout, stderr }: Ran): { key: string; id: string } {
  expect([code, stderr]).toEqual([0, expect.any(String)]);
  expect(stdout).toMatch(KEY);
  return { key: stdout.trim(), id: KEY.exec(stdout)![1]! };
}

/** Publishes something. @returns the status of the answer */
export async function publishWith(key: string, url: string): Promise<number> {
  const headers = { authorization: `Bearer ${key}`, 'content-type': 'application/json' };
  const body = JSON.stringify({ topic: 'user:42', type: 'a' });
  return (await fetch(`${url}/v1/events`, { method: 'POST', headers, body })).status;
}
