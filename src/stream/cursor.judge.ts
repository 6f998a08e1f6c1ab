import { Injectable } from '@nestjs/common';
import { type Cursor, parseCursor } from '../log/cursor.js';
import { Epochs } from '../log/epochs.js';
import { LogReader } from '../log/log.reader.js';
import { Tail } from '../tail/tail.js';
import type { ResetReason } from './control.frames.js';

/** Where to begin: right after a seq of an epoch; with the oldest event kept; or with a reset. */
export type Start =
  | { readonly after: number; readonly epoch: string }
  | { readonly after: number; readonly earliest: true }
  | { readonly reset: ResetReason };

const EARLIEST = new Set(['0', 'earliest']);

/** Says what a client's cursor is worth in the log of today. */
@Injectable()
export class CursorJudge {
  constructor(
    private readonly epochs: Epochs,
    private readonly tail: Tail,
    private readonly reader: LogReader,
  ) {}

  /**
   * Asks the database only about an epoch that was never heard of and about a seq that is ahead of this instance.
   *
   * @throws whatever pg throws, when the database is asked and does not answer
   */
  judge(text: string): Start | Promise<Start> {
    if (EARLIEST.has(text)) return { after: 0, earliest: true };
    const cursor = parseCursor(text);
    if (!cursor) return { reset: 'unknown' };
    const last = this.epochs.lastSeqOf(cursor.epoch);
    return last === undefined ? this.judgeUnheardOf(cursor) : this.judgeSeq(cursor, last);
  }

  private async judgeUnheardOf(cursor: Cursor): Promise<Start> {
    await this.epochs.refresh();
    const last = this.epochs.lastSeqOf(cursor.epoch);
    return last === undefined ? { reset: 'unknown' } : this.judgeSeq(cursor, last);
  }

  private judgeSeq({ epoch, seq }: Cursor, lastOfEpoch: number): Start | Promise<Start> {
    if (seq > lastOfEpoch) return { reset: 'forked' };
    if (seq < this.tail.floor - 1) return { reset: 'expired' };
    return seq <= this.tail.position ? { after: seq, epoch } : this.judgeAhead({ epoch, seq });
  }

  /** Another instance may have delivered what this one has not read yet: only the database knows. */
  private async judgeAhead({ epoch, seq }: Cursor): Promise<Start> {
    const { head } = await this.reader.bounds();
    return seq <= head ? { after: seq, epoch } : { reset: 'forked' };
  }
}
