import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { randomUUID } from 'node:crypto';
import { TestDatabase } from '../support/databases.js';
import { admin, type Answer, Instance } from '../support/instance.js';
import { LogLock } from '../support/log.lock.js';
import { dataOf, event, post, postLines, traceOf } from './posting.js';

interface Place {
  readonly id: string;
  readonly duplicate: boolean;
}

const placesOf = (answer: Answer) => (answer.json as { events: Place[] }).events;
const idsOf = (answer: Answer) => placesOf(answer).map(({ id }) => id);
const flagsOf = (answer: Answer) => placesOf(answer).map(({ duplicate }) => duplicate);

describe('a repeat', () => {
  let database: TestDatabase;
  let belfry: Instance;
  let other: Instance;

  beforeAll(async () => {
    database = await TestDatabase.create();
    [belfry, other] = await Promise.all([Instance.start(database.url), Instance.start(database.url)]);
  });
  afterAll(async () => {
    await Promise.all([belfry.stop(), other.stop()]);
    await database.drop();
  });

  const keyed = (key: string, body: unknown, instance = belfry, token?: string) =>
    post(instance, body, {
      headers: { 'idempotency-key': key },
      ...(token === undefined ? {} : { token }),
    });

  function expectMismatch(answer: Answer, at: object): void {
    expect(answer.json).toMatchObject({ code: 'idempotency-mismatch', status: 422, ...at });
    expect(answer.headers.get('content-type')).toBe('application/problem+json');
  }

  describe('of a request with an Idempotency-Key', () => {
    it.each([
      ['one event', event('key:one')],
      ['many events', [event('key:many', 1), event('key:many', 2), event('key:many', 2)]],
      ['{"events"}', { events: [event('key:wrapped', 1), event('key:wrapped', 2)] }],
    ])('answers the first ids of %s and appends nothing', async (name, body) => {
      const first = await keyed(`repeat ${name}`, body);
      const before = await traceOf(database);
      const second = await keyed(`repeat ${name}`, body);
      const third = await keyed(`repeat ${name}`, body, other);
      expect(first.status).toBe(201);
      expect(second.status).toBe(201);
      expect(flagsOf(first).every(duplicate => !duplicate)).toBe(true);
      expect(flagsOf(second).every(duplicate => duplicate)).toBe(true);
      expect(idsOf(second)).toEqual(idsOf(first));
      expect(third.json).toEqual(second.json);
      expect(await traceOf(database)).toEqual(before);
    });

    it.each([
      ['other data', [event('key:m', 1), event('key:m', 3)]],
      ['another type', [event('key:m', 1), event('key:m', 2, { type: 'b' })]],
      ['a key', [event('key:m', 1), event('key:m', 2, { key: 'k' })]],
      ['an expiry', [event('key:m', 1), event('key:m', 2, { expiresAt: '2100-01-01T00:00:00Z' })]],
      ['a dedupeId', [event('key:m', 1), event('key:m', 2, { dedupeId: 'd' })]],
      ['another order', [event('key:m', 2), event('key:m', 1)]],
      ['an event less', [event('key:m', 1)]],
      ['an event more', [event('key:m', 1), event('key:m', 2), event('key:m', 3)]],
      ['no event but the second', event('key:m', 2)],
    ])('with %s is a mismatch and stores nothing', async (name, body) => {
      const key = `mismatch ${name}`;
      expect((await keyed(key, [event('key:m', 1), event('key:m', 2)])).status).toBe(201);
      const before = await traceOf(database);
      expectMismatch(await keyed(key, body), { index: 0 });
      expect(await traceOf(database)).toEqual(before);
    });

    it('is a repeat in another shape too', async () => {
      const first = await keyed('shape', event('key:shape'));
      const second = await keyed('shape', { events: [event('key:shape')] });
      expect(idsOf(second)).toEqual(idsOf(first));
    });

    it('stores a request once that is sent twice at once, at one instance or at two', async () => {
      for (let round = 0; round < 25; round++) {
        const topic = `race:${round}`;
        const body = [event(topic, 1), event(topic, 2)];
        const key = randomUUID();
        const answers = await Promise.all([belfry, belfry, other, other].map(at => keyed(key, body, at)));
        expect(answers.map(({ status }) => status)).toEqual([201, 201, 201, 201]);
        expect(new Set(answers.map(answer => idsOf(answer).join())).size).toBe(1);
        expect(answers.map(flagsOf).filter(flags => flags.every(duplicate => !duplicate))).toHaveLength(1);
        expect(answers.map(flagsOf).filter(flags => flags.every(duplicate => duplicate))).toHaveLength(3);
        expect(await dataOf(database, topic)).toEqual(['1', '2']);
      }
    });

    it('stores one of two different bodies that are sent at once under one key', async () => {
      for (let round = 0; round < 15; round++) {
        const topic = `rivals:${round}`;
        const key = randomUUID();
        const answers = await Promise.all([
          keyed(key, event(topic, 1), belfry),
          keyed(key, event(topic, 2), round % 2 === 0 ? belfry : other),
        ]);
        expect(answers.map(({ status }) => status).sort()).toEqual([201, 422]);
        expect(await dataOf(database, topic)).toEqual([answers[0].status === 201 ? '1' : '2']);
      }
    });

    it('stores once what waits together for the log', async () => {
      const lock = await LogLock.hold(database.url);
      const key = randomUUID();
      const first = keyed(key, event('wait:1'));
      await lock.isAwaited({ count: 1 });
      const others = Array.from({ length: 8 }, (_, n) => keyed(key, event('wait:1'), n % 2 ? belfry : other));
      const neighbour = post(belfry, event('wait:2'));
      await lock.release();
      const answers = await Promise.all([first, ...others]);
      expect(new Set(answers.flatMap(idsOf)).size).toBe(1);
      expect(answers.flatMap(flagsOf).filter(duplicate => !duplicate)).toHaveLength(1);
      expect(flagsOf(await neighbour)).toEqual([false]);
    });

    it('keeps two tenants apart', async () => {
      const acme = await admin('acme');
      const first = await keyed('shared', event('key:tenants', 'ours'));
      const second = await keyed('shared', event('key:tenants', 'theirs'), belfry, acme);
      expect(flagsOf(first)).toEqual([false]);
      expect(flagsOf(second)).toEqual([false]);
      expect(await dataOf(database, 'key:tenants', 'acme')).toEqual(['"theirs"']);
    });

    it('remembers nothing of a request that was refused', async () => {
      expect((await keyed('refused', [event('key:refused'), { topic: 'x' }])).status).toBe(400);
      expect(flagsOf(await keyed('refused', [event('key:refused')]))).toEqual([false]);
    });
  });

  describe('of an event with a dedupeId', () => {
    it('answers the first id, in later requests, in one request and at another instance', async () => {
      const twice = event('dedupe:1', 1, { dedupeId: 'one' });
      const first = await post(belfry, [twice, event('dedupe:1', 2), twice]);
      expect(flagsOf(first)).toEqual([false, false, true]);
      expect(idsOf(first)[2]).toBe(idsOf(first)[0]);

      const second = await post(other, [event('dedupe:1', 3), twice]);
      expect(flagsOf(second)).toEqual([false, true]);
      expect(idsOf(second)[1]).toBe(idsOf(first)[0]);
      expect(await dataOf(database, 'dedupe:1')).toEqual(['1', '2', '3']);
    });

    it('gives the fresh events around it dense ids', async () => {
      await post(belfry, event('dense:1', 0, { dedupeId: 'dense' }));
      const answer = await post(
        belfry,
        [1, 0, 2, 0, 3].map(n => event('dense:1', n, n === 0 ? { dedupeId: 'dense' } : {})),
      );
      const fresh = placesOf(answer).filter(({ duplicate }) => !duplicate);
      const seqs = fresh.map(({ id }) => Number(id.split('.')[1]));
      expect(seqs).toEqual([seqs[0], seqs[0]! + 1, seqs[0]! + 2]);
      expect(await dataOf(database, 'dense:1')).toEqual(['0', '1', '2', '3']);
    });

    it('with another body is a mismatch that names it, and nothing of that request is stored', async () => {
      await post(belfry, event('dedupe:2', 1, { dedupeId: 'two' }));
      const before = await traceOf(database);
      const changed = event('dedupe:2', 'changed', { dedupeId: 'two' });
      expectMismatch(await post(belfry, changed), { index: 0 });
      const fresh = event('dedupe:2', 5, { dedupeId: 'fresh' });
      expectMismatch(await post(belfry, [fresh, event('dedupe:2', 6), changed]), { index: 2 });
      expect(await traceOf(database)).toEqual(before);
      expect(flagsOf(await post(belfry, fresh))).toEqual([false]);
    });

    it('with another body is named by its place in the request, behind repeats too', async () => {
      await post(belfry, event('dedupe:3', 1, { dedupeId: 'three' }));
      const before = await traceOf(database);
      const repeated = event('dedupe:3', 2, { dedupeId: 'repeated' });
      const changed = event('dedupe:3', 'changed', { dedupeId: 'three' });
      expectMismatch(await post(belfry, [repeated, repeated, repeated, changed]), { index: 3 });
      const lines = [repeated, repeated, repeated, changed].map(line => JSON.stringify(line)).join('\n');
      expect(await traceOf(database)).toEqual(before);
      const answer = await postLines(belfry, lines);
      expectMismatch(answer, { line: 4, stored: 3 });
      expect(await dataOf(database, 'dedupe:3')).toEqual(['1', '2']);
    });

    it('with another body in one request is a mismatch too', async () => {
      const before = await traceOf(database);
      const answer = await post(belfry, [
        event('dedupe:4', 1),
        event('dedupe:4', 2, { dedupeId: 'four' }),
        event('dedupe:4', 3, { dedupeId: 'four' }),
      ]);
      expectMismatch(answer, { index: 2 });
      expect(await traceOf(database)).toEqual(before);
    });

    it('is stored once when it comes at once in many requests at two instances', async () => {
      for (let round = 0; round < 20; round++) {
        const topic = `dedupe-race:${round}`;
        const once = event(topic, 'once', { dedupeId: randomUUID() });
        const answers = await Promise.all(
          [belfry, other, belfry, other].map((at, n) => post(at, [event(topic, n), once, once])),
        );
        const places = answers.map(answer => placesOf(answer).slice(1)).flat();
        expect(new Set(places.map(({ id }) => id)).size).toBe(1);
        expect(places.filter(({ duplicate }) => !duplicate)).toHaveLength(1);
        const stored = await dataOf(database, topic);
        expect(stored.sort()).toEqual(['"once"', '0', '1', '2', '3']);
      }
    });

    it('fails alone when it is a mismatch among many that are appended together', async () => {
      await post(belfry, event('poison:1', 1, { dedupeId: 'poison' }));
      const lock = await LogLock.hold(database.url);
      const first = post(belfry, event('poison:2', 0));
      await lock.isAwaited({ count: 1 });
      const good = Array.from({ length: 10 }, (_, n) =>
        post(belfry, event('poison:2', n + 1, { dedupeId: `p${n}` })),
      );
      const bad = post(belfry, event('poison:1', 'changed', { dedupeId: 'poison' }));
      await lock.release();
      expect((await bad).status).toBe(422);
      expect((await Promise.all([first, ...good])).map(({ status }) => status)).toEqual(Array(11).fill(201));
      expect((await dataOf(database, 'poison:2')).length).toBe(11);
    });

    it('keeps two tenants apart, and an Idempotency-Key apart from a dedupeId', async () => {
      const acme = await admin('acme');
      expect(flagsOf(await post(belfry, event('apart:1', 1, { dedupeId: 'same' })))).toEqual([false]);
      const theirs = await post(belfry, event('apart:1', 2, { dedupeId: 'same' }), { token: acme });
      expect(flagsOf(theirs)).toEqual([false]);
      expect(flagsOf(await keyed('same', event('apart:1', 3)))).toEqual([false]);
    });
  });

  describe('of a request with both', () => {
    it('answers the first ids, by either', async () => {
      const body = [
        event('both:1', 1, { dedupeId: 'both-1' }),
        event('both:1', 2),
        event('both:1', 3, { dedupeId: 'both-3' }),
      ];
      const first = await keyed('both', body);
      expect(flagsOf(first)).toEqual([false, false, false]);
      const again = await keyed('both', body);
      expect(flagsOf(again)).toEqual([true, true, true]);
      expect(idsOf(again)).toEqual(idsOf(first));

      const elsewhere = await keyed('both elsewhere', [event('both:1', 4), body[2]]);
      expect(flagsOf(elsewhere)).toEqual([false, true]);
      expect(idsOf(elsewhere)[1]).toBe(idsOf(first)[2]);
      const elsewhereAgain = await keyed('both elsewhere', [event('both:1', 4), body[2]]);
      expect(idsOf(elsewhereAgain)).toEqual(idsOf(elsewhere));
      expect(flagsOf(elsewhereAgain)).toEqual([true, true]);
      expect(await dataOf(database, 'both:1')).toEqual(['1', '2', '3', '4']);
    });

    it('answers the first ids when a dedupeId is in it twice', async () => {
      const once = event('both:2', 1, { dedupeId: 'both-twice' });
      const body = [once, once, event('both:2', 2)];
      const first = await keyed('both twice', body);
      const again = await keyed('both twice', body);
      expect(flagsOf(first)).toEqual([false, true, false]);
      expect(flagsOf(again)).toEqual([true, true, true]);
      expect(idsOf(again)).toEqual(idsOf(first));
      expectMismatch(await keyed('both twice', [once, event('both:2', 2)]), { index: 0 });
    });
  });

  describe('of lines under an Idempotency-Key', () => {
    const linesOf = (topic: string, from: number, to: number) =>
      Array.from({ length: to - from + 1 }, (_, n) => JSON.stringify(event(topic, from + n))).join('\n');
    const upload = (key: string, text: string, instance = belfry) =>
      postLines(instance, text, { 'idempotency-key': key });

    it('appends nothing and answers the same', async () => {
      const first = await upload('lines', linesOf('lines:1', 1, 1_200));
      expect(first).toMatchObject({ status: 201, json: { stored: 1_200 } });
      const before = await traceOf(database);
      expect((await upload('lines', linesOf('lines:1', 1, 1_200))).json).toEqual(first.json);
      expect((await upload('lines', linesOf('lines:1', 1, 1_200), other)).json).toEqual(first.json);
      expect(await traceOf(database)).toEqual(before);
    });

    it('appends only what is new when it goes on after a line was mended', async () => {
      const broken = `${linesOf('lines:2', 1, 3)}\n{"topic":\n${linesOf('lines:2', 5, 6)}`;
      const refused = await upload('mended', broken);
      expect(refused).toMatchObject({ status: 400, json: { code: 'line-invalid', line: 4, stored: 3 } });
      const mended = await upload('mended', linesOf('lines:2', 1, 6));
      expect(mended).toMatchObject({ status: 201, json: { stored: 6 } });
      expect(await dataOf(database, 'lines:2')).toEqual(['1', '2', '3', '4', '5', '6']);
    });

    it('appends only what is new when it is longer', async () => {
      await upload('longer', linesOf('lines:3', 1, 2));
      const longer = await upload('longer', linesOf('lines:3', 1, 4), other);
      expect(longer.json).toMatchObject({ stored: 4 });
      expect(await dataOf(database, 'lines:3')).toEqual(['1', '2', '3', '4']);
    });

    it('names the line that is different; those before it count as stored', async () => {
      const first = await upload('changed', linesOf('lines:4', 1, 5));
      const before = await traceOf(database);
      const text = `${linesOf('lines:4', 1, 3)}\n${linesOf('lines:4', 9, 9)}\n${linesOf('lines:4', 5, 6)}`;
      const answer = await upload('changed', text);
      expectMismatch(answer, { line: 4, stored: 3 });
      expect((answer.json as { last: string }).last.split('.')[0]).toBe(
        (first.json as { last: string }).last.split('.')[0],
      );
      expect(await traceOf(database)).toEqual(before);
    });

    it('stores each line once when two uploads race, in order', async () => {
      for (let round = 0; round < 8; round++) {
        const topic = `line-race:${round}`;
        const text = linesOf(topic, 1, 40);
        const answers = await Promise.all([belfry, other, belfry].map(at => upload(topic, text, at)));
        expect(answers.map(({ json }) => (json as { stored: number }).stored)).toEqual([40, 40, 40]);
        expect(new Set(answers.map(({ text: answer }) => answer)).size).toBe(1);
        expect(await dataOf(database, topic)).toEqual(Array.from({ length: 40 }, (_, n) => String(n + 1)));
      }
    });
  });
});
