import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { Socket } from 'node:net';
import { seqOf } from '../log/stored.js';
import { until } from '../support/conditions.js';
import { TestDatabase } from '../support/databases.js';
import { Instance } from '../support/instance.js';
import { LogLock } from '../support/log.lock.js';
import { dataOf, postLines, traceOf, Upload } from './posting.js';

const line = (topic: string, data: unknown) => JSON.stringify({ topic, type: 'a', data });
const KIB128 = 128 * 1024;

/** Bytes that this process has read from the newest connection to a server. */
function bytesReadOf(belfry: Instance): () => number {
  let newest: Socket | undefined;
  belfry.app.getHttpServer().on('connection', (socket: Socket) => (newest = socket));
  return () => newest?.bytesRead ?? 0;
}

describe('an NDJSON upload', () => {
  let database: TestDatabase;
  let belfry: Instance;

  beforeAll(async () => {
    database = await TestDatabase.create();
    belfry = await Instance.start(database.url, { PUBLISH_TIMEOUT_MS: '20000' });
  });
  afterAll(async () => {
    await belfry.stop();
    await database.drop();
  });

  it('answers how many lines are stored, and the cursor of the last', async () => {
    const answer = await postLines(belfry, [1, 2, 3].map(n => line('plain:1', n)).join('\n'));
    expect(answer.status).toBe(201);
    expect(answer.headers.get('cache-control')).toBe('no-store');
    const { stored, last } = answer.json as { stored: number; last: string };
    expect(stored).toBe(3);
    const [row] = await database.rows<{ seq: string }>(
      `select max(seq) as seq from belfry.events where topic = 'plain:1'`,
    );
    expect(seqOf(last)).toBe(Number(row!.seq));
    expect(await dataOf(database, 'plain:1')).toEqual(['1', '2', '3']);
  });

  it.each([
    ['nothing', ''],
    ['a line break', '\n'],
    ['blank lines', '\r\n \n\t\n  '],
  ])('of %s stores nothing', async (_name, text) => {
    const answer = await postLines(belfry, text);
    expect(answer).toMatchObject({ status: 201, json: { stored: 0, last: null } });
  });

  it.each([
    ['line breaks of Windows', (lines: string[]) => lines.join('\r\n') + '\r\n'],
    ['blank lines between', (lines: string[]) => `\n\n${lines.join('\n \r\n\n')}\n\n`],
    ['no line break at the end', (lines: string[]) => lines.join('\n')],
    ['a line break at the end', (lines: string[]) => lines.join('\n') + '\n'],
    ['spaces around the lines', (lines: string[]) => lines.map(text => `  ${text}\t`).join('\n')],
  ])('with %s stores its lines', async (name, join) => {
    const topic = `breaks:${name.replaceAll(' ', '-')}`;
    const answer = await postLines(
      belfry,
      join(['1.0', '"b"', '[ 3 ]'].map(data => `{"topic":"${topic}","type":"a","data":${data}}`)),
    );
    expect(answer).toMatchObject({ status: 201, json: { stored: 3 } });
    expect(await dataOf(database, topic)).toEqual(['1.0', '"b"', '[ 3 ]']);
  });

  it('takes a media type with parameters, and refuses one in an encoding', async () => {
    const type = 'Application/X-NDJSON; charset=utf-8';
    expect(await postLines(belfry, line('type:1', 1), { 'content-type': type })).toMatchObject({
      status: 201,
    });
    const zipped = await postLines(belfry, line('type:1', 2), { 'content-encoding': 'gzip' });
    expect(zipped).toMatchObject({ status: 415, json: { code: 'media-type-unsupported' } });
    expect(await dataOf(database, 'type:1')).toEqual(['1']);
  });

  it('of many lines keeps their order', async () => {
    const numbers = Array.from({ length: 3_001 }, (_, n) => n);
    const answer = await postLines(belfry, numbers.map(n => line('many:1', n)).join('\n'));
    expect(answer.json).toMatchObject({ stored: 3_001 });
    expect(await dataOf(database, 'many:1')).toEqual(numbers.map(String));
  });

  it('may be cut into chunks anywhere, also within a character', async () => {
    const lines = ['äöü', '漢字', '😀', 'x'].map(text => line('chunks:1', text));
    const upload = await Upload.start(belfry);
    for (const byte of Buffer.from(lines.join('\r\n'))) await upload.write(Buffer.of(byte));
    upload.end();
    expect(await upload.answer()).toMatchObject({ status: 201, json: { stored: 4 } });
    expect(await dataOf(database, 'chunks:1')).toEqual(['"äöü"', '"漢字"', '"😀"', '"x"']);
  });

  it('of a slow producer is on the stream line by line, before its end', async () => {
    const client = await (await belfry.stream('?topic=slow:1')).isReady();
    const upload = await Upload.start(belfry);
    for (const n of [1, 2, 3]) {
      await upload.write(`${line('slow:1', n)}\n{"topic":"slow:1",`);
      await client.hears(2 * n - 1);
      await upload.write(`"type":"a","data":"half"}\n`);
      await client.hears(2 * n);
    }
    expect(client.payloads).toEqual([1, 'half', 2, 'half', 3, 'half']);
    upload.end();
    expect(await upload.answer()).toMatchObject({ status: 201, json: { stored: 6 } });
    client.cut();
  });

  it('is read no faster than the database takes it', async () => {
    const bytesRead = bytesReadOf(belfry);
    const lock = await LogLock.hold(database.url);
    const upload = await Upload.start(belfry);
    const text = line('flood:1', 'x'.repeat(32 * 1024)) + '\n';
    const count = 1_200;
    const sent = upload.write(text.repeat(count));
    upload.end();
    await lock.isAwaited({ count: 1 });
    let before = -1;
    let turns = 0;
    await until('a server that reads no more', () => {
      turns = bytesRead() === before ? turns + 1 : 0;
      before = bytesRead();
      return turns === 100;
    });
    expect(bytesRead()).toBeGreaterThan(text.length);
    expect(bytesRead()).toBeLessThan(1024 * 1024);
    expect(await dataOf(database, 'flood:1')).toEqual([]);

    await lock.release();
    expect(await upload.answer()).toMatchObject({ status: 201, json: { stored: count } });
    await sent;
    expect(bytesRead()).toBeGreaterThan(count * text.length);
    const [row] = await database.rows(`select count(*)::int from belfry.events where topic = 'flood:1'`);
    expect(row).toEqual({ count });
  });

  describe('with a line that is wrong', () => {
    const BROKEN: readonly (readonly [name: string, text: string | Buffer, status: number, code: string])[] =
      [
        ['is not JSON', '{"topic":"x', 400, 'line-invalid'],
        ['is two events', `${line('x:1', 1)}${line('x:1', 2)}`, 400, 'line-invalid'],
        ['is a list', `[${line('x:1', 1)}]`, 400, 'line-invalid'],
        ['is not UTF-8', Buffer.from('{"topic":"x:1","type":"\xe9"}', 'latin1'), 400, 'line-invalid'],
        ['has a bad topic', line('x', 1), 400, 'topic-invalid'],
        ['has a reserved type', '{"topic":"x:1","type":"ready"}', 400, 'type-reserved'],
        ['has too much data', line('x:1', 'x'.repeat(64 * 1024)), 413, 'data-too-large'],
        ['is too long', ' '.repeat(KIB128) + line('x:1', 1), 413, 'line-too-long'],
      ];

    it.each(BROKEN)('that %s, stores the lines before it and says so', async (name, text, status, code) => {
      const topic = `before:${name.replaceAll(' ', '-')}`;
      const body = Buffer.concat([
        Buffer.from(`${line(topic, 1)}\n\n${line(topic, 2)}\n`),
        Buffer.from(text),
        Buffer.from(`\n${line(topic, 'behind')}\n`),
      ]);
      const answer = await postLines(belfry, body);
      expect(answer.json).toMatchObject({ status, code, line: 4, stored: 2, last: expect.any(String) });
      expect(answer.status).toBe(status);
      expect(answer.headers.get('content-type')).toBe('application/problem+json');
      expect(await dataOf(database, topic)).toEqual(['1', '2']);
      const [row] = await database.rows<{ seq: string }>(
        'select max(seq) as seq from belfry.events where topic = $1',
        [topic],
      );
      expect(seqOf((answer.json as { last: string }).last)).toBe(Number(row!.seq));
    });

    it('is answered while the client still sends, and the connection lives on', async () => {
      const upload = await Upload.start(belfry);
      await upload.write(`${line('early:1', 1)}\n{broken}\n`);
      expect(await upload.answer()).toMatchObject({ status: 400, json: { line: 2, stored: 1 } });
      await upload.write(`${line('early:1', 'late')}\n`.repeat(20_000));
      upload.end();
      await until('all of the upload to be taken', () => upload.isSent);
      expect(await dataOf(database, 'early:1')).toEqual(['1']);
      upload.cut();
    });

    it('is answered to a client that sends all before it reads, however much', async () => {
      for (let round = 0; round < 3; round++) {
        const text = `{broken}\n${`${line('early:2', 'x'.repeat(1_000))}\n`.repeat(8_000)}`;
        expect(await postLines(belfry, text)).toMatchObject({ status: 400, json: { line: 1, stored: 0 } });
        expect(await postLines(belfry, line('early:3', round))).toMatchObject({ status: 201 });
      }
      expect(await dataOf(database, 'early:2')).toEqual([]);
    });

    it('that never ends is refused as soon as it is too long', async () => {
      const upload = await Upload.start(belfry);
      await upload.write(`${line('endless:1', 1)}\n${'x'.repeat(KIB128 + 1)}`);
      const answer = await upload.answer();
      expect(answer).toMatchObject({ status: 413, json: { code: 'line-too-long', line: 2, stored: 1 } });
      upload.cut();
    });

    it('that is as long as lines may be is none', async () => {
      const short = line('longest:1', 1);
      const answer = await postLines(belfry, `${short}${' '.repeat(KIB128 - short.length)}\n${short}`);
      expect(answer.json).toMatchObject({ stored: 2 });
    });
  });

  it('that is cut keeps its whole lines and loses the half one, and alarms nobody', async () => {
    const client = await (await belfry.stream('?topic=cut:1')).isReady();
    const logs = belfry.logs.length;
    const upload = await Upload.start(belfry);
    await upload.write(`${line('cut:1', 1)}\n${line('cut:1', 2)}\n${line('cut:1', 3)}`);
    await client.hears(2);
    const requests = () => belfry.logs.slice(logs).filter(({ msg }) => /request/.test(String(msg)));
    upload.cut();
    await until('a log line of the request that was cut', () => requests().length > 0);
    const after = await belfry.publish({ topic: 'cut:1', type: 'a', data: 'after' });
    await client.hears(3);
    expect(after).toHaveLength(1);
    expect(await dataOf(database, 'cut:1')).toEqual(['1', '2', '"after"']);
    expect(belfry.logs.slice(logs).filter(({ level }) => Number(level) >= 50 || level === 'error')).toEqual(
      [],
    );
    client.cut();
  });

  it('leaves no trace of a first line that was never whole', async () => {
    const before = await traceOf(database);
    const upload = await Upload.start(belfry, { 'idempotency-key': 'half' });
    await upload.write(line('cut:2', 1));
    const logs = belfry.logs.length;
    upload.cut();
    await until('a log line of the request that was cut', () => belfry.logs.length > logs);
    expect(await traceOf(database)).toEqual(before);
  });
});
