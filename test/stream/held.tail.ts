import { LogReader } from '../../src/log/log.reader.js';
import type { Instance } from '../support/instance.js';

/** From now on the tail of an instance hears and reads of nothing. @returns what lets it go on */
export function holdBackTail({ tail, app }: Instance): () => void {
  const reader = app.get(LogReader);
  const [next, look] = [reader.next.bind(reader), tail['look'].bind(tail)];
  let release: () => void = () => undefined;
  const released = new Promise<void>(resolve => (release = resolve));
  reader.next = after => released.then(() => next(after));
  tail['look'] = () => released.then(() => look());
  return release;
}
