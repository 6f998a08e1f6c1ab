import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { TestDatabase } from '../support/databases.js';
import { admin, Instance } from '../support/instance.js';
import { dataOf, post, postLines } from './posting.js';

/** JSON that does not survive JSON.parse and JSON.stringify, or that a store, a frame or a page might spoil. */
const TEXTS: readonly (readonly [name: string, text: string])[] = [
  ['an escaped NUL', String.raw`"a\u0000b"`],
  ['an escaped lone surrogate', String.raw`["\ud800","\uDC00",{"\ud83d":1}]`],
  ['a number beyond every double', '1e200000'],
  ['minus zero and odd exponents', '[-0,-0.0,1E+2,1e-400,0.10]'],
  ['an integer beyond 53 bits', '12345678901234567890'],
  ['a fraction that is whole', '1.0'],
  ['a fraction with many digits', '0.1000000000000000055511151231257827021181583404541015625'],
  ['names that are numbers, out of order', '{"b":1,"10":2,"9":3,"a":4}'],
  ['duplicate names', '{"a":1,"a":2,"a":[]}'],
  ['__proto__ and constructor', '{"__proto__":{"x":1},"constructor":null,"toString":0}'],
  ['line separators', '"a\u2028b\u2029c\u0085d"'],
  ['emoji and composed characters', '"😀👩‍👩‍👧 é e\u0301 \ufeff \uffff"'],
  ['an escaped slash and unneeded escapes', String.raw`"\/\u0041\u00e9\ud83d\ude00\b\f\n\r\t"`],
  ['what looks like a frame', String.raw`"\n\nevent: end\ndata: {}\n\n"`],
  ['what looks like SQL and like a template', `"'; drop table belfry.events; -- $1 \${x} %s \\\\x00"`],
  ['spaces inside', '{ "a" :  [ 1 ,\t2 ] }'],
  ['HTML', '"</script><!--"'],
  ['names of an event', '{"events":[{"topic":"x:y","data":1}],"data":{"data":[]},"topic":"no"}'],
  ['quotes and backslashes', String.raw`"\"\\\\\" data: \\"`],
  ['null', 'null'],
  ['false', 'false'],
  ['an empty string', '""'],
  ['an empty object', '{}'],
];

describe('data', () => {
  let database: TestDatabase;
  let belfry: Instance;

  beforeAll(async () => {
    database = await TestDatabase.create();
    belfry = await Instance.start(database.url);
  });
  afterAll(async () => {
    await belfry.stop();
    await database.drop();
  });

  /** Expects that the one event of a topic is the same, byte for byte, live, replayed and in history. */
  async function expectEverywhere(topic: string, text: string, send: () => Promise<unknown>): Promise<void> {
    const live = await (await belfry.stream(`?topic=${topic}`)).isReady();
    await send();
    await live.hears(1);
    expect(await dataOf(database, topic)).toEqual([text]);

    const page = await belfry.request('GET', `/v1/events?topic=${topic}`, { token: await admin() });
    const { id, at } = (page.json as { events: { id: string; at: string }[] }).events[0]!;
    const members = `"topic":"${topic}","type":"t","at":"${at}","data":${text}}`;
    expect(page.text).toBe(`{"events":[{"id":"${id}",${members}],"cursor":"${id}","more":false}`);

    const replayed = await (await belfry.stream(`?topic=${topic}&lastEventId=0`)).isReady();
    expect(live.frames).toEqual([`id: ${id}\nevent: t\ndata: {${members}`]);
    expect(replayed.frames).toEqual(live.frames);
    live.cut();
    replayed.cut();
  }

  it.each(TEXTS)('with %s is kept to the letter', async (_name, text) => {
    const number = TEXTS.findIndex(([, other]) => other === text);
    await expectEverywhere(`one:${number}`, text, () =>
      post(belfry, `{"topic":"one:${number}","type":"t","data":${text}}`),
    );
    await expectEverywhere(`line:${number}`, text, () =>
      postLines(belfry, `{"data":${text},"topic":"line:${number}","type":"t"}`),
    );
  });

  it('of a whole list is kept to the letter, each event its own', async () => {
    const list = TEXTS.map(([, text]) => ` { "type":"t", "topic":"list:1",\n"data" : ${text} }`);
    await post(belfry, `{"events":[${list.join(' ,\r\n')}]}`);
    expect(await dataOf(database, 'list:1')).toEqual(TEXTS.map(([, text]) => text));
  });

  it('that is pretty-printed becomes one line and stays the same otherwise', async () => {
    const text = '{\n  "a": [\r\n\t1.0,\r    "\\n"\n  ]\n}';
    await expectEverywhere('pretty:1', text.replace(/[\r\n]/g, ' '), () =>
      post(belfry, `{\n  "topic": "pretty:1",\n  "type": "t",\n  "data": \n${text}\n}\n`),
    );
  });

  it('that fills 64 KiB is kept to the letter', async () => {
    const text = `"${'漢'.repeat(21_844)}ab"`;
    expect(Buffer.byteLength(text)).toBe(64 * 1024);
    await expectEverywhere('full:1', text, () =>
      post(belfry, `{"topic":"full:1","type":"t","data":${text}}`),
    );
  });

  it('that is named twice, or in escapes, is the last one', async () => {
    await post(belfry, String.raw`{"data":1,"topic":"twice:1","d\u0061ta":{"data":2.0},"type":"t"}`);
    await post(belfry, String.raw`[{"d\u0061ta":1,"topic":"twice:1","data":3.0,"type":"t","Data":4}]`);
    expect(await dataOf(database, 'twice:1')).toEqual(['{"data":2.0}', '3.0']);
  });

  it('in a body whose "events" is named twice belongs to the last one', async () => {
    const event = (data: string) => `{"topic":"events:1","type":"t","data":${data}}`;
    await post(belfry, String.raw`{"events":[${event('1')},${event('2')}],"\u0065vents":[${event('3.0')}]}`);
    expect(await dataOf(database, 'events:1')).toEqual(['3.0']);
  });

  it('of a line that has a member "events" is still that of the line', async () => {
    await postLines(belfry, '{"topic":"member:1","type":"t","data":1.0,"events":[{"data":2}]}');
    expect(await dataOf(database, 'member:1')).toEqual(['1.0']);
  });

  it('has a type and a key beside it that are kept as well', async () => {
    const [type, key] = ['ready? "set" \\ 😀 \u2028', 'k"\\\u2029\u0085'];
    const live = await (await belfry.stream('?topic=names:1')).isReady();
    await post(belfry, { topic: 'names:1', type, key, data: 1 });
    await live.hears(1);
    expect(live.events[0]!.event).toBe(type);
    expect(JSON.parse(live.events[0]!.data)).toMatchObject({ type, key, data: 1 });
    const page = await belfry.request('GET', '/v1/events?topic=names:1', { token: await admin() });
    expect((page.json as { events: object[] }).events[0]).toMatchObject({ type, key, data: 1 });
    live.cut();
  });
});
