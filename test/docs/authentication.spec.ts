import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { randomBytes } from 'node:crypto';
import { rm } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { newFolder, TestProcess } from '../database/processes.js';
import { bash, blocksOf, missingOf } from './examples.js';

const DOCUMENT = 'docs/authentication.md';
const SECRET = randomBytes(32).toString('base64url');
const missing = missingOf(DOCUMENT, ['bash', 'curl', 'sed']);

(missing.length > 0 ? describe.skip : describe)(DOCUMENT, () => {
  let folder: string;
  let env: Record<string, string>;
  let service: TestProcess;

  beforeAll(async () => {
    folder = await newFolder();
    env = {
      PATH: process.env['PATH'] ?? '',
      PORT: '0',
      BELFRY_DATA_DIR: join(folder, 'data'),
      JWT_SECRET: SECRET,
    };
    service = new TestProcess([resolve('dist/main.js')], env);
    await service.prints('"hello"');
  }, 60_000);
  afterAll(async () => {
    await service.end('SIGTERM');
    await rm(folder, { recursive: true, force: true });
  });

  it('has an example of each way in that works as it is pasted', async () => {
    const address = /demo mode at (http:\S+)/.exec(service.output)![1]!;
    const script = blocksOf(DOCUMENT, 'example').replace(/^BELFRY=.*$/m, `BELFRY=${address}`);
    const { code, output } = await bash(script, process.cwd(), env);
    const shown = [
      // The token, and fetch.
      '\\{"events":\\[\\],"cursor":"[^"]*","more":false\\}',
      'event: ready\ndata: \\{"topics":\\["user:42","room:9"\\],"replayed":0\\}',
      // The cookie.
      '\\{"events":\\[\\],"cursor":"[^"]*","more":false\\}',
      // The ticket, and one for a user.
      'retry: \\d+',
      'event: ready',
      '\\{"ticket":"bt_[^"]*","expiresAt":"[^"]*"\\}',
      // The key.
      '\\{"events":\\[\\{"id":"[^"]*","duplicate":false\\}\\]\\}',
      '[a-z0-9]{12}  billing  default  publish',
      // What was taken back.
      '\\{"tenant":"default","sub":"42","revokedAt":"[^"]*"\\}',
      '"code":"token-revoked"',
    ];
    expect(output).toMatch(new RegExp(shown.join('[^]*\n[^]*')));
    expect(code).toBe(0);
  }, 60_000);
});
