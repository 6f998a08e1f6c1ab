import { TestProcess } from '../database/processes.js';
import { SECRET } from '../support/instance.js';

/** The built service as a process of its own. */
export class Service {
  private constructor(
    readonly process: TestProcess,
    readonly url: string,
  ) {}

  /** @param born told of the process before it is known to serve */
  static async start(databaseUrl: string, born: (process: TestProcess) => void): Promise<Service> {
    const process = new TestProcess(['dist/main.js'], {
      ...globalThis.process.env,
      DATABASE_URL: databaseUrl,
      JWT_SECRET: SECRET,
      HOST: '127.0.0.1',
      PORT: '0',
    });
    born(process);
    await process.prints('listening at ');
    return new Service(process, /listening at (http:\/\/[^"\s]+)/.exec(process.output)![1]!);
  }
}
