import { expect } from '@jest/globals';
import { isDense, type StoredEvent } from '../log/stored.js';

/** What became of one try to publish. */
export interface Tried {
  readonly status: number;
  readonly json: unknown;
}

/** A request that is sent until it is acknowledged, always under the same key. */
export interface KeyedRequest {
  readonly key: string;
  readonly body: object[];
  /** The ids of its acknowledgement. */
  ids: string[] | undefined;
  tries: number;
}

/** Publishes one request after the other, each until it is acknowledged, as a backend with a retry loop does. */
export class KeyedPublisher {
  readonly requests: KeyedRequest[] = [];
  private stopped = false;
  private abandoned = false;

  /**
   * @param send one try; rejects when the connection was lost
   * @param after told of each answer that came
   */
  constructor(
    private readonly name: string,
    private readonly send: (request: KeyedRequest) => Promise<Tried>,
    private readonly after: (request: KeyedRequest, answer: Tried) => Promise<void> | void = () => undefined,
  ) {}

  get acknowledged(): number {
    return this.requests.filter(({ ids }) => ids).length;
  }

  /** Resolves when its last request is acknowledged, after `stop`. */
  async run(): Promise<void> {
    while (!this.stopped) {
      const request: KeyedRequest = {
        key: `${this.name}-${this.requests.length}`,
        body: Array.from({ length: 20 }, (_, n) => ({
          topic: `publisher:${this.name}`,
          type: 't',
          data: { request: this.requests.length, n },
        })),
        ids: undefined,
        tries: 0,
      };
      this.requests.push(request);
      while (!request.ids && !this.abandoned) await this.attempt(request);
    }
  }

  stop(): void {
    this.stopped = true;
  }

  /** Gives up, for a test that has failed. */
  abandon(): void {
    this.stopped = true;
    this.abandoned = true;
  }

  /** Fails unless every request is in the log once, in order, and under the ids that were answered. */
  isServedBy(log: readonly StoredEvent[]): void {
    expect(isDense(log)).toBe(true);
    const own = log.filter(({ topic }) => topic === `publisher:${this.name}`);
    const sent = this.requests.flatMap(({ body }) => body as { data: unknown }[]);
    expect(own.map(({ data }) => data as unknown)).toEqual(sent.map(({ data }) => data));
    expect(own.map(({ seq }) => seq)).toEqual(
      this.requests.flatMap(({ ids }) => ids!.map(id => Number(id.split('.')[1]))),
    );
  }

  private async attempt(request: KeyedRequest): Promise<void> {
    request.tries++;
    let answer: Tried;
    try {
      answer = await this.send(request);
    } catch {
      // The connection was lost: nobody knows, and the key makes the next try safe.
      await new Promise(resolve => setTimeout(resolve, 5));
      return;
    }
    await this.after(request, answer);
    if (answer.status === 201) {
      request.ids = (answer.json as { events: { id: string }[] }).events.map(({ id }) => id);
    } else if (answer.status !== 503) {
      throw new Error(`${request.key} was answered ${answer.status}: ${JSON.stringify(answer.json)}`);
    }
  }
}
