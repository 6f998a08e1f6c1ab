import { seqOf } from '../log/stored.js';
import { until } from './conditions.js';
import type { SseClient } from './sse.client.js';
import { type Heard } from './sse.client.js';

/** Between the end of a connection and the next, in milliseconds. Browsers would wait for as long as they were told. */
const PAUSE_MS = 20;

/** What a client was told, in order: an event by its seq, or why and where it has to begin anew. */
export type Told =
  { readonly seq: number; readonly data: unknown } | { readonly reset: string; readonly at: number };

/** A client as EventSource is one: whenever its connection ends, it comes back with the last id that it received. */
export class ReturningClient {
  /** Connections that were opened. */
  connections = 0;
  private readonly past: Heard[] = [];
  private current: SseClient | undefined;
  private running: Promise<void> | undefined;
  private isAway = true;

  /**
   * @param open opens the stream with this Last-Event-ID
   * @param cursor where it begins; undefined: now
   */
  constructor(
    private readonly open: (cursor: string | undefined) => Promise<SseClient>,
    public cursor?: string,
  ) {}

  /** Comes, and stays until `leave`. */
  come(): void {
    this.isAway = false;
    this.running ??= this.run();
  }

  /** Goes away without a goodbye, and keeps its cursor. */
  async leave(): Promise<void> {
    this.isAway = true;
    this.current?.cut();
    await this.running;
    this.running = undefined;
  }

  async isReady(): Promise<void> {
    await until('the event "ready"', () => this.heard.some(({ event }) => event === 'ready'));
  }

  get told(): Told[] {
    return this.heard.flatMap(({ id, event, data }): Told[] => {
      if (event === 'ready') return [];
      const at = seqOf(id);
      const json = JSON.parse(data) as { reason: string; data: unknown };
      return [event === 'reset' ? { reset: json.reason, at } : { seq: at, data: json.data }];
    });
  }

  /** The resets among what it was told. */
  get resets(): string[] {
    return this.told.flatMap(told => ('reset' in told ? [told.reset] : []));
  }

  /** How far it is; 0 before it has heard of anything. */
  get seq(): number {
    const last = this.current?.heard.at(-1) ?? this.past.at(-1);
    return last === undefined ? 0 : seqOf(last.id);
  }

  private get heard(): Heard[] {
    return [...this.past, ...(this.current?.heard ?? [])];
  }

  private async run(): Promise<void> {
    while (!this.isAway) {
      try {
        this.current = await this.open(this.cursor);
        this.connections++;
        await this.end(this.current);
      } catch {
        // Nobody there: it comes back.
      }
      await new Promise(resolve => setTimeout(resolve, PAUSE_MS));
    }
  }

  private async end(client: SseClient): Promise<void> {
    while (!client.closed && !this.isAway) await new Promise(resolve => setTimeout(resolve, PAUSE_MS));
    client.cut();
    this.past.push(...client.heard);
    this.cursor = client.lastEventId ?? this.cursor;
    this.current = undefined;
  }
}
