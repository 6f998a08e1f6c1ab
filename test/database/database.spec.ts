import { once } from 'node:events';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import type { Config } from '../../src/config/config.js';
import { Database } from '../../src/database/database.js';
import { Outage } from '../../src/errors/outage.js';
import { TestDatabase } from '../support/databases.js';
import { TcpProxy } from '../support/tcp.proxy.js';

describe('the sessions of an instance', () => {
  let database: TestDatabase;
  let proxy: TcpProxy;
  let sessions: Database;

  beforeEach(async () => {
    database = await TestDatabase.create();
    proxy = await TcpProxy.start(database.url);
    sessions = new Database({ databaseUrl: proxy.urlOf(database.url) } as Config);
  });
  afterEach(async () => {
    await sessions.onApplicationShutdown();
    await proxy.stop();
    await database.drop();
  });

  it('a new one that is cut while it is asked whether it is a standby fails its query, and nothing else', async () => {
    proxy.loseQueries();
    const answer = expect(sessions.query({ text: 'select 1' })).rejects.toBeInstanceOf(Outage);
    await once(sessions['pool'], 'connect');
    proxy.cut();
    await answer;
    proxy.open();
    expect(await sessions.query({ text: 'select 1 as one' })).toEqual([{ one: 1 }]);
  });
});
