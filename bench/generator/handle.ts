import { WorkerProcess } from '../orders.js';
import type { Orders } from './protocol.js';

export class GeneratorHandle extends WorkerProcess<Orders> {
  static start(): Promise<GeneratorHandle> {
    return new GeneratorHandle('generator', new URL('main.js', import.meta.url)).spawned();
  }
}
