import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { EventSource } from 'eventsource';
import fc from 'fast-check';
import { toJson } from '../../src/log/event.json.js';
import { FramedEvent } from '../../src/tail/frame.js';
import { until } from '../support/conditions.js';
import { TestDatabase } from '../support/databases.js';
import { admin, Instance } from '../support/instance.js';

describe('frames', () => {
  let database: TestDatabase;
  let belfry: Instance;

  beforeAll(async () => {
    database = await TestDatabase.create();
    belfry = await Instance.start(database.url, { MAX_STREAM_AGE_MS: '700' });
  });
  afterAll(async () => {
    await belfry.stop();
    await database.drop();
  });

  it.each([
    ['line breaks in strings', 'a\r\nb\nc\rd'],
    ['what looks like a frame', '\n\nid: 1\nevent: ready\ndata: x\n\n'],
    ['unicode line and paragraph separators', 'a\u2028b\u2029c\u0085d'],
    ['NUL, a byte order mark and an emoji', '\u0000\ufeff😀'],
    ['64 KiB', 'ä'.repeat(32_767)],
  ])('carry %s unharmed, live and replayed', async (_name, text) => {
    const live = await (await belfry.stream('?topic=room:safe')).isReady();
    const [id] = await belfry.publish({ topic: 'room:safe', type: 'type: with\u2028colon ', data: text });
    await live.hears(1);
    const replayed = await belfry.stream('?topic=room:safe', {
      headers: { 'last-event-id': `${id!.split('.')[0]!}.${Number(id!.split('.')[1]) - 1}` },
    });
    await replayed.hears(1);
    for (const client of [live, replayed]) {
      expect(client.events[0]).toMatchObject({ id, event: 'type: with\u2028colon ' });
      expect(client.payloads).toEqual([text]);
    }
    expect(replayed.frames).toEqual(live.frames);
    live.cut();
    replayed.cut();
  });

  it('have no unescaped line break and one line of data, whatever is in the event', () => {
    const line = fc.string({ unit: 'binary' });
    fc.assert(
      fc.property(
        line.filter(type => !/[\r\n]/.test(type)),
        line,
        fc.json(),
        (type, key, json) => {
          const data = json.replace(/[\r\n]/g, ' ');
          const event = { seq: 7, tenant: 't', topic: 'a:b', type, key, data, at: 0, expiresAt: null };
          const { frame, unnamedFrame } = new FramedEvent(event, 'e');
          expect(frame.toString()).toBe(
            Buffer.from(`id: e.7\nevent: ${type}\ndata: ${toJson(event)}\n\n`).toString(),
          );
          expect(frame.toString().split(/\r\n|\r|\n/)).toHaveLength(5);
          expect(unnamedFrame.toString()).toBe(Buffer.from(`id: e.7\ndata: ${toJson(event)}\n\n`).toString());
        },
      ),
    );
  });

  it("are understood by somebody else's EventSource, which also comes back and misses nothing", async () => {
    const token = await admin();
    const source = new EventSource(`${belfry.url}/v1/stream?topic=room:es&named=false`, {
      fetch: (input, init) =>
        fetch(input, { ...init, headers: { ...init.headers, authorization: `Bearer ${token}` } }),
    });
    const heard: unknown[] = [];
    let ready = 0;
    let ended = 0;
    source.addEventListener('message', message =>
      heard.push((JSON.parse(message.data as string) as { data: unknown }).data),
    );
    source.addEventListener('ready', () => ready++);
    source.addEventListener('end', () => ended++);
    await until('it is ready', () => ready === 1);
    // Streams are rotated while this goes on, so it has to come back several times.
    let published = 0;
    while (ended < 2) {
      await belfry.publish({ topic: 'room:es', type: 'tick', data: published++ });
      await until(
        'it has heard so much, or is away',
        () => heard.length === published || source.readyState === 0,
      );
    }
    await until('it has heard all', () => heard.length >= published);
    source.close();
    expect(heard).toEqual(Array.from({ length: published }, (_, n) => n));
  });
});
