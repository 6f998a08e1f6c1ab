import { Injectable, type OnModuleInit } from '@nestjs/common';
import { Subject } from 'rxjs';
import { setTimeout } from 'node:timers/promises';
import { Database } from '../database/database.js';
import { AppendSession } from './append.session.js';

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
/** How long the log is waited for, in milliseconds. */
const CHECK_TIMEOUT_MS = 10_000;

/** The chain of epochs of this log, as last read. */
@Injectable()
export class Epochs implements OnModuleInit {
  /** Emits, as soon as another epoch is known, the newest seq that is the same in the history known before. */
  readonly forked = new Subject<number>();

  private chain: readonly Epoch[] = [];
  private readAt = -Infinity;
  private reading: Promise<void> = Promise.resolve();
  private toRead: Promise<void> | undefined;
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
    return firstFork(this.chain.slice(index + 1));
  }

  /**
   * The epoch in which an event was stored: it stays part of the event's id when another one begins.
   *
   * @param seq of an event that is in the log
   * @param writing what the answer that named it said is being written; when that is not known here yet, it stands for all
   */
  epochOf(seq: number, writing = this.current): string {
    if (writing !== this.current) return writing;
    return this.chain.findLast(({ forkedAt }) => forkedAt < seq)?.name ?? writing;
  }

  /**
   * Makes sure that the log still has all that is known of it, everything up to a seq of the current epoch, and that it is
   * written where it was; else another epoch begins. Then reads the chain.
   */
  async check(seq: number): Promise<void> {
    // More may be known by the time that there is a session; the seq is of the last of these.
    const known = this.chain.map(({ name }) => name);
    const { session } = await AppendSession.open(this.database, 'belfry-check', CHECK_TIMEOUT_MS);
    try {
      await session.checkEpoch(known, seq, CHECK_TIMEOUT_MS);
    } finally {
      await session.close();
    }
    await this.load();
  }

  /** Reads the chain as it is now, or later. One reading serves all who ask before it begins. */
  load(): Promise<void> {
    // One after the other, so that no answer overtakes another.
    this.toRead ??= this.reading.then(() => {
      this.toRead = undefined;
      const read = this.read();
      this.reading = read.catch(() => undefined);
      return read;
    });
    return this.toRead;
  }

  /** For an answer of the log that names its epoch: reads the chain, unless it is the one that is known to be written. */
  async follow(epoch: string): Promise<void> {
    if (epoch !== this.current) await this.load();
    // An answer of a server that another has taken the place of would be asked for again and again.
    if (epoch !== this.current) await this.refresh();
  }

  /** The same for strangers: when it was read just now, they wait for their time. */
  refresh(): Promise<void> {
    this.refreshing ??= setTimeout(Math.max(0, this.readAt + RELOAD_MS - performance.now())).then(() => {
      this.refreshing = undefined;
      return this.load();
    });
    return this.refreshing;
  }

  private async read(): Promise<void> {
    this.readAt = performance.now();
    const rows = await this.database.query<{ name: string; forked_at: string }>(CHAIN);
    const known = this.chain;
    const chain = rows.map(row => ({ name: row.name, forkedAt: Number(row.forked_at) }));
    const differs = chain.findIndex(({ name }, index) => name !== known[index]?.name);
    // Nothing new; or the answer of a server that another has taken the place of.
    if (differs < 0) return;
    this.chain = chain;
    // A log that was restored may have lost epochs that were known.
    if (known.length > 0) this.forked.next(firstFork([...known.slice(differs), ...chain.slice(differs)]));
  }
}

function firstFork(epochs: readonly Epoch[]): number {
  return Math.min(Infinity, ...epochs.map(({ forkedAt }) => forkedAt));
}
