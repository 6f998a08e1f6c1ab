import { execFile } from 'node:child_process';
import { accessSync, constants } from 'node:fs';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { once } from 'node:events';
import { delimiter, resolve } from 'node:path';
import { promisify } from 'node:util';

/** Where daemons are, and ordinary users' PATH does not go. */
const SYSTEM = ['/usr/sbin', '/usr/local/sbin', '/sbin'];

/**
 * @param given where the user says it is
 * @returns its absolute path, since it is started in another folder; undefined when there is nothing that can be run
 */
export function findProgram(name: string, given?: string): string | undefined {
  const folders = [...(process.env['PATH'] ?? '').split(delimiter), ...SYSTEM];
  const places = given === undefined ? folders.map(folder => resolve(folder, name)) : [resolve(given)];
  return places.find(isExecutable);
}

/** What a program says when it is asked for its version: the first line, wherever it is written. */
export async function versionOf(program: string, ...args: readonly string[]): Promise<string> {
  const { stdout, stderr } = await promisify(execFile)(program, args, { timeout: 10_000 });
  return `${stdout}${stderr}`.trim().split('\n', 1)[0] ?? 'unknown';
}

/** For programs that do not choose one themselves. */
export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}

/** Whether a server has come up. */
export async function answers(url: string): Promise<true | undefined> {
  try {
    await fetch(url);
    return true;
  } catch {
    // Not yet.
    return undefined;
  }
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    // Not there, or not for us.
    return false;
  }
}
