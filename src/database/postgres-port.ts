import { randomInt } from 'node:crypto';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:net';

/** Where outgoing connections get their ports, unless Linux says otherwise (RFC 6335, section 6). */
const EPHEMERAL = { first: 49_152, last: 65_535 };
/** Below it well-known services are common. */
const LOWEST = 20_000;
const HIGHEST = 65_535;
const ATTEMPTS = 100;

/**
 * A free TCP port on 127.0.0.1, the preferred one when it is free. It lies outside the ephemeral range, where an
 * outgoing connection of any program could hold it just when Postgres comes back after a restart.
 */
export async function freePort(preferred?: number): Promise<number> {
  if (preferred !== undefined && (await isFree(preferred))) return preferred;
  const { first, last } = await ephemeralRange();
  // The wider of the two gaps; a system that made everything ephemeral leaves no choice.
  const [low, high] = first - LOWEST >= HIGHEST - last ? [LOWEST, first] : [last + 1, HIGHEST + 1];
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    const port = low < high ? randomInt(low, high) : randomInt(LOWEST, HIGHEST + 1);
    if (await isFree(port)) return port;
  }
  throw new Error(`no free port on 127.0.0.1 in ${ATTEMPTS} attempts`);
}

async function ephemeralRange(): Promise<typeof EPHEMERAL> {
  const text = await readFile('/proc/sys/net/ipv4/ip_local_port_range', 'utf8').catch(() => '');
  const [first, last] = text.trim().split(/\s+/).map(Number);
  return first && last ? { first, last } : EPHEMERAL;
}

async function isFree(port: number): Promise<boolean> {
  const server = createServer();
  try {
    await once(server.listen({ host: '127.0.0.1', port, exclusive: true }), 'listening');
  } catch {
    return false;
  }
  server.close();
  await once(server, 'close');
  return true;
}
