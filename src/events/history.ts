import { Inject, Injectable, type OnModuleDestroy } from '@nestjs/common';
import type { ServerResponse } from 'node:http';
import { setImmediate } from 'node:timers/promises';
import type { Caller } from '../access/caller.js';
import { Revocations } from '../access/revocations.js';
import { CONFIG, type Config } from '../config/config.js';
import { Problem } from '../errors/problem.js';
import { formatCursor } from '../log/cursor.js';
import { Epochs } from '../log/epochs.js';
import { toJson } from '../log/event.json.js';
import { LogReader, type ReplayRequest } from '../log/log.reader.js';
import { whenOver } from '../operations/response-over.js';
import { Connections } from '../stream/connections.js';
import { notSoon, type ResetReason } from '../stream/control.frames.js';
import { CursorJudge } from '../stream/cursor.judge.js';
import { ReplayPages } from '../stream/replay.pages.js';
import { replayPage } from '../stream/ring.page.js';
import { Router } from '../stream/router.js';
import { one, type Parameters, parseFilter, parseFlag, parseLimit } from '../stream/stream.request.js';
import { Tail } from '../tail/tail.js';
import { Turns } from './turns.js';
import { Waiter } from './waiter.js';

const LIMIT = { fallback: 100, most: 1_000 };
/** Longest wait, in milliseconds. */
const MAX_WAIT_MS = 60_000;
/** Pages that one request looks through for an event that passes its filter. */
const MAX_PAGES = 10;

interface HistoryRequest extends Omit<ReplayRequest, 'after' | 'upTo'> {
  readonly caller: Caller;
  readonly after: string;
  /** By the monotonic clock, in milliseconds. */
  readonly waitUntil: number;
}

interface Shown {
  readonly seq: number;
  json(id: string): string;
}

interface HistoryPage {
  readonly events: readonly Shown[];
  /** Everything up to here was looked at. */
  readonly cursor: number;
  readonly more: boolean;
  readonly reset?: { readonly reason: ResetReason; readonly oldest: number; readonly head: number };
}

/** A page of the log, with its bounds. */
interface Look extends Pick<HistoryPage, 'events' | 'cursor'> {
  readonly floor: number;
  readonly head: number;
}

/** Reads events page by page: the same events, in the same order, as a stream from the same cursor replays. */
@Injectable()
export class History implements OnModuleDestroy {
  /** Ends the wait of each request that waits, and whose it is. */
  private readonly waiting = new Map<() => void, Caller>();
  private readonly turns = new Turns();
  private stopping = false;

  constructor(
    private readonly reader: LogReader,
    private readonly epochs: Epochs,
    private readonly tail: Tail,
    private readonly pages: ReplayPages,
    private readonly judge: CursorJudge,
    private readonly router: Router,
    private readonly connections: Connections,
    private readonly revocations: Revocations,
    @Inject(CONFIG) private readonly config: Config,
  ) {
    this.revocations.heard.subscribe(() => {
      for (const [end, caller] of this.waiting) if (this.revocations.find(caller)) end();
    });
    this.tail.forked.subscribe(() => {
      for (const end of this.waiting.keys()) end();
    });
  }

  /**
   * @returns the page as JSON, in which the data of each event is the very text that was published
   * @throws Problem when a parameter is wrong, a topic is not granted, or there is no room to wait
   */
  async read(parameters: Parameters, caller: Caller, response: ServerResponse): Promise<string> {
    const request: HistoryRequest = {
      caller,
      tenant: caller.tenant,
      filter: parseFilter(parameters, caller, this.config.maxTopics),
      after: one(parameters, 'after') ?? 'earliest',
      collapse: parseFlag(parameters, 'collapse'),
      limit: parseLimit(parameters, LIMIT),
      waitUntil: performance.now() + parseWait(one(parameters, 'wait')),
    };
    let page: HistoryPage;
    let epoch: string;
    do {
      epoch = this.epochs.current;
      page = await this.page(request, response);
      // Of a log that was forked meanwhile nothing is told: the cursor is judged anew.
    } while (epoch !== this.epochs.current);
    // Perhaps while it waited.
    const revoked = this.revocations.find(caller);
    if (revoked) throw new Problem(revoked);
    return this.toJson(page);
  }

  get waitingReads(): number {
    return this.waiting.size;
  }

  /** Answers whoever waits, and lets nobody wait from now on: before the server waits for its connections to end. */
  onModuleDestroy(): void {
    this.stopping = true;
    for (const end of this.waiting.keys()) end();
  }

  private async page(request: HistoryRequest, response: ServerResponse): Promise<HistoryPage> {
    const start = await this.judge.judge(request.after);
    if ('reset' in start) return this.resetPage(start.reset);
    // Whoever has published at another instance finds it, heard of here or not.
    const page = await this.find(request, start.after, this.inDatabase, 'earliest' in start);
    if (page.events.length > 0 || page.more || page.reset || request.waitUntil <= performance.now())
      return page;
    // Since the guard let it pass.
    if (this.stopping || this.revocations.find(request.caller)) return page;
    const noRoom = this.connections.enter(request.caller);
    if (noRoom) throw new Problem(noRoom, undefined, { retryAfterSeconds: notSoon() / 1_000 });
    try {
      const waiter = new Waiter(request.tenant, request.filter, page.cursor);
      const found = await this.waitFor(waiter, request, response);
      await this.turns.next();
      return found;
    } finally {
      this.connections.leave(request.caller);
    }
  }

  /** Looks until there is something to show, the end of the log, or a bounded number of pages. */
  private async find(
    request: HistoryRequest,
    after: number,
    look: (request: ReplayRequest) => Promise<Look>,
    fromOldest = false,
  ): Promise<HistoryPage> {
    let cursor = after;
    let upTo: number | undefined;
    for (let pages = 1; ; pages++) {
      const page = await look({ ...request, after: cursor, upTo });
      if (page.floor - 1 > cursor && !(fromOldest && pages === 1)) return this.resetPage('expired');
      cursor = page.cursor;
      upTo = page.head;
      const more = cursor < upTo;
      if (page.events.length > 0 || !more || pages === MAX_PAGES)
        return { events: page.events, cursor, more };
      // A long way through the ring would keep everybody else waiting.
      await setImmediate();
    }
  }

  /** The log as it is. */
  private readonly inDatabase = async (request: ReplayRequest): Promise<Look> => {
    const { events, epoch, ...page } = await this.reader.replay(request);
    await this.epochs.follow(epoch);
    return { ...page, events: events.map(event => ({ seq: event.seq, json: id => toJson(event, id) })) };
  };

  /** The log as far as this instance has taken it: Postgres is asked only for what the ring holds no more. */
  private readonly inMemory = async (request: ReplayRequest): Promise<Look> => {
    const { tail } = this;
    const { after, upTo: head = Math.max(after, tail.position) } = request;
    const bounded = { ...request, upTo: head };
    if (after < tail.ring.start) return { ...(await this.pages.read(bounded)), head };
    return { ...replayPage(tail, bounded), floor: tail.floor, head };
  };

  private async waitFor(
    waiter: Waiter,
    request: HistoryRequest,
    response: ServerResponse,
  ): Promise<HistoryPage> {
    const end = () => {
      waiter.end(this.tail.position);
    };
    // What is published after the credential has ended is not for it.
    const waitMs = Math.min(request.waitUntil - performance.now(), request.caller.expiresAt - Date.now());
    const timer = setTimeout(end, waitMs);
    whenOver(response, end);
    this.waiting.set(end, request.caller);
    this.router.add(waiter);
    try {
      for (;;) {
        waiter.look();
        const page = await this.find(request, waiter.cursor, this.inMemory);
        if (page.events.length > 0 || page.more || page.reset) return page;
        waiter.cursor = page.cursor;
        if (waiter.isOver) {
          // While the database is away nobody knows whether nothing has happened.
          return this.tail.isAway ? await this.find(request, page.cursor, this.inDatabase) : page;
        }
        await waiter.sleep();
      }
    } finally {
      this.router.remove(waiter);
      this.waiting.delete(end);
      clearTimeout(timer);
    }
  }

  private async resetPage(reason: ResetReason): Promise<HistoryPage> {
    const { floor, head } = await this.reader.bounds();
    return { events: [], cursor: head, more: false, reset: { reason, oldest: floor, head } };
  }

  private toJson({ events, cursor, more, reset }: HistoryPage): string {
    const resetMember = reset
      ? `,"reset":${JSON.stringify({ reason: reset.reason, oldest: this.cursorOf(reset.oldest), head: this.cursorOf(reset.head) })}`
      : '';
    const list = events
      .map(event => event.json(formatCursor(this.epochs.epochOf(event.seq), event.seq)))
      .join(',');
    return `{"events":[${list}],"cursor":"${this.cursorOf(cursor)}","more":${more}${resetMember}}`;
  }

  /** Of a place, which is good in the epoch that is being written. */
  private cursorOf(seq: number): string {
    return formatCursor(this.epochs.current, seq);
  }
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
