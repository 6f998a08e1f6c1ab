import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import type { Call, Orders, Reply } from './protocol.js';

interface Waiting {
  readonly resolve: (value: never) => void;
  readonly reject: (error: Error) => void;
}

/** A load process: its work is neither taken for the server's nor held up by the lab's. */
export class LoadHandle {
  private readonly waiting = new Map<number, Waiting>();
  private ids = 0;

  private constructor(private readonly process: ChildProcess) {
    process.on('message', (reply: Reply) => {
      const call = this.waiting.get(reply.id);
      this.waiting.delete(reply.id);
      if ('error' in reply) call?.reject(new Error(reply.error));
      else call?.resolve(reply.value as never);
    });
    process.on('exit', (code, signal) => {
      const error = new Error(`the load process ended (${signal ?? code ?? 'for no reason'})`);
      for (const { reject } of this.waiting.values()) reject(error);
      this.waiting.clear();
    });
  }

  /** Starts one for as long as the work takes. */
  static async during<T>(work: (load: LoadHandle) => Promise<T>): Promise<T> {
    const child = fork(new URL('main.js', import.meta.url));
    await once(child, 'spawn');
    const exited = once(child, 'exit');
    try {
      return await work(new LoadHandle(child));
    } finally {
      child.kill('SIGKILL');
      await exited;
    }
  }

  get pid(): number {
    return this.process.pid ?? 0;
  }

  order<Name extends keyof Orders>(
    name: Name,
    argument: Parameters<Orders[Name]>[0],
  ): ReturnType<Orders[Name]> {
    const id = ++this.ids;
    const call: Call = { id, order: name, argument };
    return new Promise((resolve, reject) => {
      this.waiting.set(id, { resolve, reject });
      this.process.send(call, error => {
        if (error) reject(error);
      });
    }) as ReturnType<Orders[Name]>;
  }
}
