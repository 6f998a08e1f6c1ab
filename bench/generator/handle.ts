import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import type {
  Call,
  Connected,
  ConnectOrder,
  Orders,
  PaceOrder,
  Published,
  PublishOrder,
  Reply,
} from './protocol.js';

/** A generator in a process of its own, so that its work is not taken for the server's, nor held up by the lab's. */
export class GeneratorHandle implements Orders {
  private readonly waiting = new Map<
    number,
    { resolve: (value: never) => void; reject: (error: Error) => void }
  >();
  private ids = 0;

  private constructor(private readonly process: ChildProcess) {
    process.on('message', (reply: Reply) => {
      const call = this.waiting.get(reply.id);
      this.waiting.delete(reply.id);
      if ('error' in reply) call?.reject(new Error(reply.error));
      else call?.resolve(reply.value as never);
    });
    process.on('exit', (code, signal) => {
      const error = new Error(`the generator ended (${signal ?? code ?? 'for no reason'})`);
      for (const { reject } of this.waiting.values()) reject(error);
      this.waiting.clear();
    });
  }

  static async start(): Promise<GeneratorHandle> {
    const child = fork(new URL('main.js', import.meta.url));
    await once(child, 'spawn');
    return new GeneratorHandle(child);
  }

  get pid(): number {
    return this.process.pid ?? 0;
  }

  connect(order: ConnectOrder): Promise<Connected> {
    return this.call('connect', order);
  }

  publish(order: PublishOrder): Promise<Published> {
    return this.call('publish', order);
  }

  pace(order: PaceOrder): Promise<Published> {
    return this.call('pace', order);
  }

  disconnect(): Promise<void> {
    return this.call('disconnect', null);
  }

  async end(): Promise<void> {
    if (this.process.exitCode !== null || this.process.signalCode !== null) return;
    const exited = once(this.process, 'exit');
    this.process.kill('SIGKILL');
    await exited;
  }

  private call<T>(order: keyof Orders, argument: unknown): Promise<T> {
    const id = ++this.ids;
    const call: Call = { id, order, argument };
    return new Promise<T>((resolve, reject) => {
      this.waiting.set(id, { resolve, reject });
      this.process.send(call, error => {
        if (error) reject(error);
      });
    });
  }
}
