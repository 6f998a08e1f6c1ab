import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { storedEvents } from '../log/stored.js';
import { until } from '../support/conditions.js';
import { TestDatabase } from '../support/databases.js';
import { Instance } from '../support/instance.js';
import type { SseClient } from '../support/sse.client.js';
import { TcpProxy } from '../support/tcp.proxy.js';
import { Doorbell } from '../../src/tail/doorbell.js';

/** Two heartbeats unheard, and the next one that notices. */
const NOTICED_MS = 25_000;

describe('when the session that listens for the doorbell is lost', () => {
  let database: TestDatabase;
  let proxy: TcpProxy;
  let publisher: Instance;
  let listener: Instance;
  let stream: SseClient;

  beforeEach(async () => {
    database = await TestDatabase.create();
    proxy = await TcpProxy.start(database.url);
    publisher = await Instance.start(database.url);
    listener = await Instance.start(database.url, { LISTEN_DATABASE_URL: proxy.urlOf(database.url) });
    stream = await (await listener.stream('?topic=*')).isReady();
  });
  afterEach(async () => {
    stream.cut();
    proxy.open();
    await Promise.all([publisher.stop(), listener.stop()]);
    await proxy.stop();
    await database.drop();
  });

  async function publish(count: number): Promise<void> {
    for (let n = 0; n < count; n++) await publisher.publish({ topic: 'all', type: 't', data: n });
  }

  async function listenSessions(): Promise<{ pid: number }[]> {
    return database.rows(
      `select pid from pg_stat_activity where datname = current_database() and application_name = 'belfry-listen'
      order by pid`,
    );
  }

  async function missesNothing(): Promise<void> {
    const stored = await storedEvents(database);
    await stream.hears(stored.length);
    expect(stream.events.map(({ id }) => Number(id!.split('.')[1]))).toEqual(stored.map(({ seq }) => seq));
  }

  /** A bell, not the safety poll: the doorbell itself says what it heard. */
  async function hearsBells(): Promise<void> {
    const heard: number[] = [];
    const subscription = listener.app.get(Doorbell).heard.subscribe(head => heard.push(head));
    await publish(1);
    const head = (await storedEvents(database)).length;
    await until('a bell with the head', () => heard.includes(head));
    subscription.unsubscribe();
  }

  it('to an administrator, again and again while others publish, its subscribers miss nothing and bells are heard again', async () => {
    await hearsBells();
    for (let round = 0; round < 5; round++) {
      const before = await listenSessions();
      expect(before).toHaveLength(2);
      const publishing = publish(50);
      await database.rows(
        `select pg_terminate_backend(pid) from pg_stat_activity
        where datname = current_database() and application_name = 'belfry-listen'`,
      );
      await publishing;
      await until('both instances listening again', async () => {
        const now = await listenSessions();
        return now.length === 2 && !now.some(({ pid }) => before.some(old => old.pid === pid));
      });
      await until('the doorbell in place', () => listener.app.get(Doorbell).isListening);
    }
    await hearsBells();
    await missesNothing();
  });

  it('to a black hole, events arrive all the same, the session is replaced, and bells are heard again', async () => {
    await hearsBells();
    const before = await listenSessions();
    proxy.blackHoleThese();
    await publish(20);
    await missesNothing();
    expect(listener.logs.some(line => String(line['msg']).includes('the doorbell is not heard'))).toBe(false);

    await until(
      'a new session that listens',
      async () => {
        const now = await listenSessions();
        return (
          listener.app.get(Doorbell).isListening &&
          now.some(({ pid }) => !before.some(old => old.pid === pid))
        );
      },
      NOTICED_MS,
    );
    await hearsBells();
    await missesNothing();
  }, 60_000);

  it('and none can be had, events arrive all the same, and bells are heard as soon as one can', async () => {
    proxy.refuse();
    await publish(20);
    await missesNothing();
    expect(listener.app.get(Doorbell).isListening).toBe(false);
    expect((await listener.request('GET', '/health/ready')).status).toBe(503);
    proxy.open();
    await until('the doorbell in place', () => listener.app.get(Doorbell).isListening);
    await hearsBells();
    await missesNothing();
  });
});
