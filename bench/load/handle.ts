import { WorkerProcess } from '../orders.js';
import type { Orders } from './protocol.js';

export class LoadHandle extends WorkerProcess<Orders> {
  /** Starts one for as long as the work takes. */
  static async during<T>(work: (load: LoadHandle) => Promise<T>): Promise<T> {
    const load = await new LoadHandle('load process', new URL('main.js', import.meta.url)).spawned();
    try {
      return await work(load);
    } finally {
      await load.end();
    }
  }
}
