import { Injectable, type OnModuleInit } from '@nestjs/common';
import { Database } from '../database/database.js';

interface Epoch {
  readonly name: string;
  /** The newest seq shared with the epoch before. */
  readonly forkedAt: number;
}

const CHAIN = {
  name: 'epochs',
  text: 'select name, forked_at from belfry.epochs order by n',
};
/** Names never heard of come from clients: they lead to a query at most so often, in milliseconds. */
const RELOAD_MS = 1_000;

/** The chain of epochs of this log, as last read. */
@Injectable()
export class Epochs implements OnModuleInit {
  private chain: readonly Epoch[] = [];
  private loadedAt = -Infinity;
  private loading: Promise<void> | undefined;

  constructor(private readonly database: Database) {}

  async onModuleInit(): Promise<void> {
    await this.load();
  }

  /** The name of the epoch that is being written. */
  get current(): string {
    const last = this.chain.at(-1);
    if (!last) throw new Error('the log has no epoch');
    return last.name;
  }

  /**
   * The newest seq of an epoch that is part of today's log: a cursor is good up to every fork point after its
   * epoch. Infinity for the current epoch.
   *
   * @returns undefined for an epoch that this instance never heard of
   */
  lastSeqOf(name: string): number | undefined {
    const index = this.chain.findIndex(epoch => epoch.name === name);
    if (index < 0) return undefined;
    return Math.min(Infinity, ...this.chain.slice(index + 1).map(epoch => epoch.forkedAt));
  }

  /** Reads the chain again, unless that was done just now. */
  async refresh(): Promise<void> {
    if (performance.now() - this.loadedAt > RELOAD_MS) await this.load();
  }

  private load(): Promise<void> {
    this.loading ??= this.database
      .query<{ name: string; forked_at: string }>(CHAIN)
      .then(rows => {
        this.chain = rows.map(row => ({ name: row.name, forkedAt: Number(row.forked_at) }));
        this.loadedAt = performance.now();
      })
      .finally(() => (this.loading = undefined));
    return this.loading;
  }
}
