import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { rm } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { newFolder, TestProcess } from '../database/processes.js';
import { bash, blocksOf, missingOf } from './examples.js';

const DOCUMENT = 'docs/inbox.md';
const missing = missingOf(DOCUMENT, ['bash', 'curl', 'sed']);

(missing.length > 0 ? describe.skip : describe)(DOCUMENT, () => {
  let folder: string;
  let service: TestProcess;

  beforeAll(async () => {
    folder = await newFolder();
    const env = { PATH: process.env['PATH'] ?? '', PORT: '0', BELFRY_DATA_DIR: join(folder, 'data') };
    service = new TestProcess([resolve('dist/main.js')], env);
    await service.prints('"hello"');
  }, 60_000);
  afterAll(async () => {
    await service.end('SIGTERM');
    await rm(folder, { recursive: true, force: true });
  });

  it('has examples that work as they are pasted', async () => {
    const address = /demo mode at (http:\S+)/.exec(service.output)![1]!;
    const script = blocksOf(DOCUMENT, 'example').replace(/^BELFRY=.*$/m, `BELFRY=${address}`);
    const { output } = await bash(script, folder);
    const counts = '"counts":\\{"unread":0,"unseen":0,"asOf":"[^"]*"\\}';
    const shown = [
      '\\{"ids":\\["([^"]*)"\\],"notifications":\\[\\{"id":"\\1","topic":"user:ada","duplicate":false\\}\\]\\}',
      '\\{"items":\\[\\{"id":"\\1","topic":"user:ada","type":"invoice.paid","title":"Invoice 7 was paid"',
      '"counts":\\{"unread":1,"unseen":1,"asOf":"\\1"\\},"cursor":"\\1","more":false\\}',
      `\\{"id":"\\1","topic":"user:ada"[^\n]*"read":true[^\n]*${counts}\\}`,
      `\\{${counts}\\}`,
      'event: inbox.updated\ndata: [^\n]*"reason": "marked"',
      'event: ready',
      '\\{"scheduled":"[^"]*"\\}',
      '204',
      '204',
      '\\{"muted":\\["marketing"\\],"quietHours":\\{"from":"22:00"',
    ];
    expect(output).toMatch(new RegExp(shown.join('[^]*')));
  }, 60_000);
});
