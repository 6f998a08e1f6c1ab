import { setTimeout as delay } from 'node:timers/promises';
import type { Act } from './act.js';
import type { Tried } from './keyed.publisher.js';

export interface PacedAct extends Act {
  readonly tries: number;
}

interface Request {
  readonly key: string;
  readonly body: object[];
}

/** Publishes over HTTP, one request after the other with a pause between them, each until it is acknowledged. */
export class PacedPublisher {
  readonly acts: PacedAct[] = [];
  private stopped = false;

  /**
   * @param send one try; rejects when the connection was lost
   * @param pauseMs until the next request, on average, in milliseconds
   * @param most events of a request
   */
  constructor(
    private readonly name: string,
    private readonly send: (request: Request) => Promise<Tried>,
    private readonly pauseMs: number,
    private readonly most: number,
  ) {}

  /** Resolves when its last request is acknowledged, after `stop`. */
  async run(): Promise<void> {
    for (let n = 0; !this.stopped;) {
      const data = Array.from({ length: 1 + Math.floor(Math.random() * this.most) }, () => n++);
      await this.publish(data);
      await delay(2 * this.pauseMs * Math.random());
    }
  }

  stop(): void {
    this.stopped = true;
  }

  private async publish(data: number[]): Promise<void> {
    const topic = `publisher:${this.name}`;
    const body = data.map(n => ({ topic, type: 't', data: n }));
    const beganAt = performance.now();
    for (let tries = 1; ; tries++) {
      let answer: Tried | undefined;
      try {
        answer = await this.send({ key: `${this.name}-${data[0]}`, body });
      } catch {
        // The connection was lost: nobody knows, and the key makes the next try safe.
      }
      if (answer?.status === 201) {
        this.acts.push({ topic, data, beganAt, endedAt: performance.now(), tries });
        return;
      }
      if (answer && answer.status !== 503) {
        throw new Error(`${topic} was answered ${answer.status}: ${JSON.stringify(answer.json)}`);
      }
      await delay(5);
    }
  }
}
