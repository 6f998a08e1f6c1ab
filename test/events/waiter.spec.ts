import { describe, expect, it } from '@jest/globals';
import { Waiter } from '../../src/events/waiter.js';
import { TopicFilter } from '../../src/log/topic.filter.js';
import { Bundle } from '../../src/stream/bundle.js';

describe('a waiter', () => {
  const bundle = Bundle.empty();
  const waiterFor = (types: string[] = []) => new Waiter('default', new TopicFilter(['room:1'], types), 5);

  it('does not fall asleep when it was told of something while it looked', async () => {
    const waiter = waiterFor();
    waiter.look();
    waiter.deliver(bundle, 9);
    waiter.interrupt(10);
    await waiter.sleep();
    // What lies before that was perhaps not looked at.
    expect(waiter.cursor).toBe(5);
  });

  it.each<[string, (waiter: Waiter) => void]>([
    [
      'an event',
      waiter => {
        waiter.deliver(bundle, 9);
      },
    ],
    [
      'a gap',
      waiter => {
        waiter.interrupt(9);
      },
    ],
    [
      'the end',
      waiter => {
        waiter.end(9);
      },
    ],
  ])('is woken by %s, and looks at nothing that it slept through', async (_name, tell) => {
    const waiter = waiterFor();
    waiter.look();
    const slept = waiter.sleep();
    tell(waiter);
    // Nor does it leave out what it is told of before it looks.
    waiter.deliver(bundle, 20);
    waiter.end(30);
    await slept;
    expect(waiter.cursor).toBe(9);
  });

  it('looks at all of it when it waits for some types', async () => {
    const waiter = waiterFor(['wanted']);
    waiter.look();
    const slept = waiter.sleep();
    waiter.deliver(bundle, 9);
    await slept;
    expect(waiter.cursor).toBe(5);
  });

  it('never goes back to where its instance is behind it', async () => {
    const waiter = waiterFor();
    waiter.look();
    const slept = waiter.sleep();
    waiter.deliver(bundle, 3);
    await slept;
    expect(waiter.cursor).toBe(5);
  });
});
