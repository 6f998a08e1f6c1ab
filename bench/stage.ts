import { Belfry } from './belfry.js';
import type { Build } from './build.js';
import { Child } from './child.js';
import type { Contender, Target } from './contender.js';
import { GeneratorHandle } from './generator/handle.js';
import type { Database, Postgres, PostgresSettings } from './postgres.js';
import type { Settings } from './settings.js';

/** What one turn of one contender has started; all of it is gone when the turn is over. */
export class Stage {
  private readonly toEnd: (() => Promise<void>)[] = [];

  constructor(
    readonly settings: Settings,
    /** For logs and generated configuration; removed at the end of the run. */
    readonly folder: string,
    readonly postgres: Postgres,
    private readonly build: Build,
  ) {}

  /** An empty database. */
  async database(settings: PostgresSettings = {}): Promise<Database> {
    const database = await this.postgres.database(settings);
    this.toEnd.push(() => database.drop());
    return database;
  }

  /** The service, on a database of its own unless one is given: that makes several instances one service. */
  async belfry({ database, env }: { database?: Database; env?: NodeJS.ProcessEnv } = {}): Promise<Belfry> {
    const belfry = await Belfry.start(this.build.main, database ?? (await this.database()), this.folder, env);
    this.toEnd.push(() => belfry.child.end());
    return belfry;
  }

  /** One of the servers in bench/servers. @returns it and its port, once it says `listening at http://…:port` */
  async server(name: string, args: readonly string[] = [], env: NodeJS.ProcessEnv = {}) {
    const script = new URL(`servers/${name}.js`, import.meta.url).pathname;
    const child = await Child.startNode(script, args, { name, folder: this.folder, env });
    this.toEnd.push(() => child.end());
    const [, port] = await child.prints(/listening at http:\/\/\S+:(\d+)/);
    return { child, port: Number(port) };
  }

  /** Any other program. */
  async program(
    name: string,
    command: string,
    args: readonly string[],
    env: NodeJS.ProcessEnv = {},
  ): Promise<Child> {
    const child = await Child.start(command, args, { name, folder: this.folder, env });
    this.toEnd.push(() => child.end());
    return child;
  }

  start(contender: Contender): Promise<Target> {
    return contender.start(this);
  }

  async generator(): Promise<GeneratorHandle> {
    const generator = await GeneratorHandle.start();
    this.toEnd.push(() => generator.end());
    return generator;
  }

  /** The last started goes first. */
  async clear(): Promise<void> {
    for (const end of this.toEnd.splice(0).reverse()) await end();
  }
}
