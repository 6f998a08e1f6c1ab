import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { TestDatabase } from '../support/databases.js';
import { Instance } from '../support/instance.js';

describe('a stream', () => {
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

  it('hears what is published after it is ready', async () => {
    const client = await (await belfry.stream('?topic=user:1')).isReady();
    const ids = await belfry.publish([
      { topic: 'user:1', type: 'a', data: 1 },
      { topic: 'user:2', type: 'a', data: 2 },
      { topic: 'user:1', type: 'b', data: 3 },
    ]);
    await client.hears(2);
    expect(client.events.map(event => event.id)).toEqual([ids[0], ids[2]]);
    client.cut();
  });
});
