import { randomBytes } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { SignJWT } from 'jose';
import type { Contender } from '../contender.js';
import { answers, findProgram, freePort, versionOf } from './program.js';

const SECRET = randomBytes(48).toString('base64url');
const TOPIC = 'https://example.com/bench';
const HUB = '/.well-known/mercure';

/**
 * The Mercure hub, a build of Caddy. With its default transport, Bolt, each event is synced into a file before it is
 * sent, and none is ever deleted.
 */
export const mercure: Contender = {
  name: 'mercure',
  async find({ programs }) {
    const program = findProgram('mercure', programs.mercure);
    return program === undefined
      ? missing(programs.mercure)
      : { version: await versionOf(program, 'version') };
  },
  async start(stage) {
    const port = await freePort();
    const file = join(stage.folder, `Caddyfile-${port}`);
    await writeFile(file, configuration(port, join(stage.folder, `mercure-${port}.db`)));
    const program = findProgram('mercure', stage.settings.programs.mercure) ?? 'mercure';
    const args = ['run', '--config', file, '--adapter', 'caddyfile'];
    // Else Caddy leaves files in the user's home.
    const child = await stage.program('mercure', program, args, { XDG_DATA_HOME: stage.folder });
    await child.until('answer', () => answers(`http://127.0.0.1:${port}/healthz`));
    const token = await new SignJWT({ mercure: { publish: ['*'] } })
      .setProtectedHeader({ alg: 'HS256' })
      .sign(new TextEncoder().encode(SECRET));
    return {
      children: [child],
      streams: [{ port, path: `${HUB}?topic=${encodeURIComponent(TOPIC)}` }],
      publish: {
        port,
        single: {
          path: HUB,
          headers: { Authorization: `Bearer ${token}`, 'Content-Type': 'application/x-www-form-urlencoded' },
          before: `topic=${encodeURIComponent(TOPIC)}&data=`,
          form: true,
        },
      },
    };
  },
};

function missing(given: string | undefined) {
  return {
    missing: given === undefined ? 'there is no mercure on PATH, and no --mercure' : `${given} cannot be run`,
  };
}

/** It cuts a stream off after eight to ten minutes, its `write_timeout`; no turn takes so long. */
function configuration(port: number, database: string): string {
  return `{
  auto_https off
  admin off
  persist_config off
}
http://127.0.0.1:${port} {
  bind 127.0.0.1
  mercure {
    transport bolt {
      path ${database}
    }
    publisher_jwt ${SECRET} HS256
    subscriber_jwt ${SECRET} HS256
    anonymous
  }
}
`;
}
