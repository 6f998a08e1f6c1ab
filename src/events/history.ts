import { Inject, Injectable, type OnModuleDestroy } from '@nestjs/common';
import type { Request } from 'express';
import type { Caller } from '../access/caller.js';
import { Revocations } from '../access/revocations.js';
import { CONFIG, type Config } from '../config/config.js';
import { Problem } from '../errors/problem.js';
import { formatCursor } from '../log/cursor.js';
import { Epochs } from '../log/epochs.js';
import type { LogEvent } from '../log/event.js';
import { toJson } from '../log/event.json.js';
import { LogReader, type ReplayRequest } from '../log/log.reader.js';
import type { ResetReason } from '../stream/control.frames.js';
import { CursorJudge } from '../stream/cursor.judge.js';
import { Router } from '../stream/router.js';
import { one, type Parameters, parseFilter, parseFlag } from '../stream/stream.request.js';

const LIMIT = { fallback: 100, most: 1_000 };
/** Longest wait, in milliseconds. */
const MAX_WAIT_MS = 60_000;
/** Pages that one request looks through for an event that passes its filter. */
const MAX_PAGES = 10;

interface HistoryRequest extends Omit<ReplayRequest, 'after' | 'upTo'> {
  readonly caller: Caller;
  readonly after: string;
  readonly waitMs: number;
}

interface HistoryPage {
  readonly events: readonly LogEvent[];
  /** Everything up to here was looked at. */
  readonly cursor: number;
  readonly more: boolean;
  readonly reset?: { readonly reason: ResetReason; readonly oldest: number; readonly head: number };
}

/** Reads events page by page: the same events, in the same order, as a stream from the same cursor replays. */
@Injectable()
export class History implements OnModuleDestroy {
  /** Ends the wait of each request that waits, and whose it is. */
  private readonly waiting = new Map<() => void, Caller>();
  private stopping = false;

  constructor(
    private readonly reader: LogReader,
    private readonly epochs: Epochs,
    private readonly judge: CursorJudge,
    private readonly router: Router,
    private readonly revocations: Revocations,
    @Inject(CONFIG) private readonly config: Config,
  ) {
    this.revocations.heard.subscribe(() => {
      for (const [end, caller] of this.waiting) if (this.revocations.find(caller)) end();
    });
  }

  /**
   * @returns the page as JSON, in which the data of each event is the very text that was published
   * @throws Problem when a parameter is wrong or a topic is not granted
   */
  async read(parameters: Parameters, caller: Caller, http: Request): Promise<string> {
    const request: HistoryRequest = {
      caller,
      tenant: caller.tenant,
      filter: parseFilter(parameters, caller, this.config.maxTopics),
      after: one(parameters, 'after') ?? 'earliest',
      collapse: parseFlag(parameters, 'collapse'),
      limit: parseLimit(one(parameters, 'limit')),
      // What is published after the credential has ended is not for it.
      waitMs: Math.min(parseWait(one(parameters, 'wait')), Math.max(0, caller.expiresAt - Date.now())),
    };
    const page = await this.page(request, http);
    // Perhaps while it waited.
    const revoked = this.revocations.find(caller);
    if (revoked) throw new Problem(revoked);
    return this.toJson(page);
  }

  /** Answers whoever waits, and lets nobody wait from now on: before the server waits for its connections to end. */
  onModuleDestroy(): void {
    this.stopping = true;
    for (const end of this.waiting.keys()) end();
  }

  private async page(request: HistoryRequest, http: Request): Promise<HistoryPage> {
    const start = await this.judge.judge(request.after);
    if ('reset' in start) return this.resetPage(start.reset);
    const page = await this.find(request, start.after, 'earliest' in start);
    if (page.events.length > 0 || page.more || page.reset || request.waitMs === 0) return page;
    return this.waitFor(request, page.cursor, http);
  }

  /** Looks until there is something to show, the end of the log, or a bounded number of pages. */
  private async find(request: HistoryRequest, after: number, fromOldest: boolean): Promise<HistoryPage> {
    let cursor = after;
    const { head } = await this.reader.bounds();
    for (let pages = 1; ; pages++) {
      const page = await this.reader.replay({ ...request, after: cursor, upTo: Math.max(head, cursor) });
      if (page.floor - 1 > cursor && !(fromOldest && pages === 1)) return this.resetPage('expired');
      cursor = page.cursor;
      const more = cursor < head;
      if (page.events.length > 0 || !more || pages === MAX_PAGES)
        return { events: page.events, cursor, more };
    }
  }

  /**
   * The order matters: first the router knows of this request, then the log is read. An event that the read does
   * not see is taken by the tail later, and so is told.
   */
  private async waitFor(request: HistoryRequest, after: number, http: Request): Promise<HistoryPage> {
    let wake: () => void = () => undefined;
    const listener = {
      tenant: request.tenant,
      filter: request.filter,
      deliver: () => {
        wake();
      },
      interrupt: () => {
        wake();
      },
    };
    const giveUp = new AbortController();
    const end = () => {
      giveUp.abort();
      wake();
    };
    if (this.stopping || http.socket.destroyed) end();
    const timer = setTimeout(end, request.waitMs);
    http.socket.once('close', end);
    this.waiting.set(end, request.caller);
    this.router.add(listener);
    let cursor = after;
    try {
      for (;;) {
        const told = new Promise<void>(resolve => (wake = resolve));
        const page = await this.find(request, cursor, false);
        cursor = page.cursor;
        if (page.events.length > 0 || page.more || page.reset || giveUp.signal.aborted) return page;
        await told;
      }
    } finally {
      this.router.remove(listener);
      this.waiting.delete(end);
      clearTimeout(timer);
      http.socket.removeListener('close', end);
    }
  }

  private async resetPage(reason: ResetReason): Promise<HistoryPage> {
    const { floor, head } = await this.reader.bounds();
    return { events: [], cursor: head, more: false, reset: { reason, oldest: floor, head } };
  }

  private toJson({ events, cursor, more, reset }: HistoryPage): string {
    const idOf = (seq: number) => formatCursor(this.epochs.current, seq);
    const list = events.map(event => toJson(event, idOf(event.seq))).join(',');
    const resetMember = reset
      ? `,"reset":${JSON.stringify({ reason: reset.reason, oldest: idOf(reset.oldest), head: idOf(reset.head) })}`
      : '';
    return `{"events":[${list}],"cursor":"${idOf(cursor)}","more":${more}${resetMember}}`;
  }
}

function parseLimit(text: string | undefined): number {
  if (text === undefined) return LIMIT.fallback;
  const limit = /^\d{1,6}$/.test(text) ? Number(text) : NaN;
  if (!(limit >= 1 && limit <= LIMIT.most)) {
    throw new Problem('limit-invalid', `"limit" is a whole number from 1 to ${LIMIT.most}.`);
  }
  return limit;
}

function parseWait(text: string | undefined): number {
  if (text === undefined) return 0;
  const [, amount, unit] = /^(\d{1,6})(ms|s)?$/.exec(text) ?? [];
  const ms = Number(amount) * (unit === 'ms' ? 1 : 1_000);
  if (Number.isNaN(ms) || ms > MAX_WAIT_MS) {
    throw new Problem(
      'query-invalid',
      `"wait" is a time up to ${MAX_WAIT_MS / 1_000}s, such as 25s or 500ms.`,
    );
  }
  return ms;
}
