import { Injectable, type OnModuleInit } from '@nestjs/common';
import { setTimeout } from 'node:timers/promises';
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
  private readAt = -Infinity;
  private refreshing: Promise<void> | undefined;

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

  /**
   * Reads the chain again, as it is now or later. One reading serves all who ask before it begins; when one was made
   * just now, the next waits for its time.
   */
  refresh(): Promise<void> {
    this.refreshing ??= setTimeout(Math.max(0, this.readAt + RELOAD_MS - performance.now())).then(() => {
      this.refreshing = undefined;
      return this.load();
    });
    return this.refreshing;
  }

  private async load(): Promise<void> {
    this.readAt = performance.now();
    const rows = await this.database.query<{ name: string; forked_at: string }>(CHAIN);
    // It only grows: a shorter one is an answer that another overtook.
    if (rows.length < this.chain.length) return;
    this.chain = rows.map(row => ({ name: row.name, forkedAt: Number(row.forked_at) }));
  }
}
