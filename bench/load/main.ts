import { Load } from './load.js';
import type { Call, Reply } from './protocol.js';

/** The process that loads a server: takes orders over IPC, and ends with whoever gives them. */
const load = new Load();

process.on('message', (call: Call) => {
  void answer(call).then(reply => process.send?.(reply));
});
process.on('disconnect', () => process.exit());
// Ctrl-C reaches the whole group of processes; the lab decides when this one ends.
process.on('SIGINT', () => undefined);

async function answer({ id, order, argument }: Call): Promise<Reply> {
  try {
    const value: unknown = await load[order](argument as never);
    return { id, value };
  } catch (error) {
    return { id, error: error instanceof Error ? error.message : String(error) };
  }
}
