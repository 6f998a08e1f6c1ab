import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';

type Order = (argument: never) => Promise<unknown>;

/** What the lab sends to a worker's process; its argument, and the value of the reply, have to survive JSON. */
interface Call<Orders> {
  readonly id: number;
  readonly order: keyof Orders;
  readonly argument: unknown;
}

type Reply = { readonly id: number } & ({ readonly value: unknown } | { readonly error: string });

interface Waiting {
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: Error) => void;
}

/** Makes this process the worker's: it takes orders over IPC, and ends with whoever gives them. */
export function serve<Orders extends Record<keyof Orders, Order>>(worker: Orders): void {
  process.on('message', (call: Call<Orders>) => {
    void answer(worker, call).then(reply => process.send?.(reply));
  });
  process.on('disconnect', () => process.exit());
  // Ctrl-C reaches the whole group of processes; the lab decides when this one ends.
  process.on('SIGINT', () => undefined);
}

async function answer<Orders extends Record<keyof Orders, Order>>(
  worker: Orders,
  { id, order, argument }: Call<Orders>,
): Promise<Reply> {
  try {
    return { id, value: await worker[order](argument as never) };
  } catch (error) {
    return { id, error: error instanceof Error ? error.message : String(error) };
  }
}

/** A worker in a process of its own: its work is neither taken for the server's nor held up by the lab's. */
export class WorkerProcess<Orders extends Record<keyof Orders, Order>> {
  private readonly process: ChildProcess;
  private readonly waiting = new Map<number, Waiting>();
  private ids = 0;

  /**
   * @param name for messages
   * @param main the script that serves the worker
   */
  protected constructor(name: string, main: URL) {
    this.process = fork(main);
    this.process.on('message', (reply: Reply) => {
      const call = this.waiting.get(reply.id);
      this.waiting.delete(reply.id);
      if ('error' in reply) call?.reject(new Error(reply.error));
      else call?.resolve(reply.value);
    });
    this.process.on('exit', (code, signal) => {
      const error = new Error(`the ${name} ended (${signal ?? code ?? 'for no reason'})`);
      for (const { reject } of this.waiting.values()) reject(error);
      this.waiting.clear();
    });
  }

  get pid(): number {
    return this.process.pid ?? 0;
  }

  order<Name extends keyof Orders>(
    order: Name,
    ...[argument]: Parameters<Orders[Name]>
  ): ReturnType<Orders[Name]> {
    const id = ++this.ids;
    const call: Call<Orders> = { id, order, argument };
    return new Promise((resolve, reject) => {
      this.waiting.set(id, { resolve, reject });
      this.process.send(call, error => {
        if (error) reject(error);
      });
    }) as ReturnType<Orders[Name]>;
  }

  async end(): Promise<void> {
    if (this.process.exitCode !== null || this.process.signalCode !== null) return;
    const exited = once(this.process, 'exit');
    this.process.kill('SIGKILL');
    await exited;
  }

  protected async spawned(): Promise<this> {
    await once(this.process, 'spawn');
    return this;
  }
}
