import { randomBytes } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Contender } from '../contender.js';
import { answers, findProgram, freePort, versionOf } from './program.js';

const KEY = randomBytes(24).toString('base64url');
const CHANNEL = 'bench';

/** Centrifugo 6 with its memory engine, and its event stream for clients that only listen. */
export const centrifugo: Contender = {
  name: 'centrifugo',
  async find({ programs }) {
    const program = findProgram('centrifugo', programs.centrifugo);
    return program === undefined
      ? missing(programs.centrifugo)
      : { version: await versionOf(program, 'version') };
  },
  async start(stage) {
    const port = await freePort();
    const file = join(stage.folder, `centrifugo-${port}.json`);
    await writeFile(file, JSON.stringify(configuration(port)));
    const program = findProgram('centrifugo', stage.settings.programs.centrifugo) ?? 'centrifugo';
    const child = await stage.program('centrifugo', program, ['--config', file]);
    await child.until('answer', () => answers(`http://127.0.0.1:${port}/health`));
    const headers = {
      'X-API-Key': KEY,
      'Content-Type': 'application/json',
      // Else an event that is refused is answered 200 as well.
      'X-Centrifugo-Error-Mode': 'transport',
    };
    const connect = encodeURIComponent(JSON.stringify({ subs: { [CHANNEL]: {} } }));
    const publication = `{"channel":"${CHANNEL}","data":`;
    return {
      children: [child],
      // It begins with a message about the connection that says what it is subscribed to, and how.
      streams: [{ port, path: `/connection/uni_sse?cf_connect=${connect}`, ready: '"recoverable' }],
      publish: {
        port,
        single: { path: '/api/publish', headers, before: publication, after: '}' },
        burst: {
          path: '/api/batch',
          headers,
          open: '{"commands":[',
          before: `{"publish":${publication}`,
          after: '}}',
          separator: ',',
          close: ']}',
        },
      },
    };
  },
};

function missing(given: string | undefined) {
  return {
    missing:
      given === undefined ? 'there is no centrifugo on PATH, and no --centrifugo' : `${given} cannot be run`,
  };
}

function configuration(port: number) {
  return {
    http_server: { address: '127.0.0.1', port: String(port) },
    http_api: { key: KEY },
    health: { enabled: true },
    uni_sse: { enabled: true },
    client: { allow_anonymous_connect_without_token: true },
    // In memory. Without `force_recovery` no client that comes back could have what it missed.
    channel: {
      without_namespace: {
        allow_subscribe_for_client: true,
        allow_subscribe_for_anonymous: true,
        history_size: 10_000,
        history_ttl: '300s',
        force_recovery: true,
      },
    },
  };
}
