import { setTimeout as delay } from 'node:timers/promises';
import { Histogram } from '../generator/histogram.js';
import { payload } from '../generator/payload.js';
import type { StreamSpec } from '../generator/protocol.js';
import { seqsIn, storedIn } from './answer.js';
import { Listener } from './listener.js';
import { Poster } from './poster.js';
import type {
  AdmitOrder,
  Orders,
  Posted,
  PostOrder,
  Replayed,
  ReplayOrder,
  Spread,
  SpreadOrder,
  StallOrder,
  Uploaded,
  UploadOrder,
} from './protocol.js';
import { Recorder } from './recorder.js';
import { Users } from './users.js';

/** An event that is delivered twice may come late the second time. */
const AFTERMATH_MS = 100;

/** Publishes as fast as it is answered, and hears what becomes of it; the clock of both is one. */
export class Load implements Orders {
  private recorder: Recorder | undefined;
  private readonly stalled: Listener[] = [];
  private readonly users = new Users();

  async listen(stream: StreamSpec): Promise<void> {
    this.recorder = new Recorder();
    await this.recorder.open(stream);
  }

  async post({
    to,
    topic,
    first,
    batch,
    inFlight,
    ms = Infinity,
    events = Infinity,
  }: PostOrder): Promise<Posted> {
    const posters = Array.from({ length: inFlight }, () => new Poster(to));
    const seqs: number[] = [];
    const toAnswer = new Histogram();
    let posted = 0;
    let requests = 0;
    const began = performance.now();
    const until = began + ms;
    const lane = async (poster: Poster): Promise<void> => {
      while (posted < events && performance.now() < until) {
        const place = posted;
        const count = Math.min(batch, events - posted);
        posted += count;
        requests++;
        const body = Array.from({ length: count }, (_, index) => eventOf(topic, first + place + index));
        const at = performance.now();
        const answer = await poster.post(batch === 1 ? (body[0] ?? '') : `[${body.join(',')}]`);
        toAnswer.record(performance.now() - at);
        seqsIn(answer, count).forEach((seq, index) => (seqs[place + index] = seq));
      }
    };
    try {
      await Promise.all(posters.map(lane));
      const seconds = (performance.now() - began) / 1000;
      const { heard, at } = await this.hear(posted);
      return {
        seqs,
        requests,
        seconds,
        heardSeconds: (at - began) / 1000,
        toAnswer: toAnswer.summary(),
        heard,
      };
    } finally {
      for (const poster of posters) poster.close();
    }
  }

  async upload({ to, topic, first, lines }: UploadOrder): Promise<Uploaded> {
    const body = Array.from({ length: lines }, (_, index) => `${eventOf(topic, first + index)}\n`).join('');
    const poster = new Poster(to, 'application/x-ndjson');
    const began = performance.now();
    try {
      const answer = storedIn(await poster.post(body));
      const seconds = (performance.now() - began) / 1000;
      const { heard, at } = await this.hear(lines);
      return { ...answer, seconds, heardSeconds: (at - began) / 1000, heard };
    } finally {
      poster.close();
    }
  }

  async replay({ stream, events }: ReplayOrder): Promise<Replayed> {
    return new Promise((resolve, reject) => {
      let next = 1;
      let firstMs = 0;
      const fail = (what: string): void => {
        listener.close();
        reject(new Error(`a client that came back ${what}`));
      };
      const since = (): number => performance.now() - listener.askedAt;
      const listener = new Listener(stream, {
        onCounter: counter => {
          if (counter !== next) {
            fail(`was to hear ${next} and heard ${counter}`);
            return;
          }
          if (next === 1) firstMs = since();
          next++;
        },
        onReady: () => {
          // What was read together with it is looked at in this turn: only then is it certain what was sent.
          queueMicrotask(() => {
            if (next !== events + 1) {
              fail(`was told to be ready after ${next - 1} of ${events} events`);
              return;
            }
            listener.close();
            resolve({ firstMs, allMs: since() });
          });
        },
        onCut: fail,
      });
    });
  }

  async stall({ stream, count }: StallOrder): Promise<void> {
    await Promise.all(
      Array.from(
        { length: count },
        () =>
          new Promise<void>((resolve, reject) => {
            const listener = new Listener(stream, {
              onReady: () => {
                listener.stall();
                resolve();
              },
              onCounter: counter => {
                reject(new Error(`a client that had just come heard ${counter}`));
              },
              onCut: reason => {
                reject(new Error(`a client that reads nothing was cut off: ${reason}`));
              },
            });
            this.stalled.push(listener);
          }),
      ),
    );
  }

  async wake(events: number): Promise<number[]> {
    const listener = this.stalled.pop();
    if (!listener) throw new Error('nobody is stalled');
    const recorder = new Recorder();
    recorder.takeOver(listener);
    try {
      const heard = await recorder.take(events);
      await delay(AFTERMATH_MS);
      return [...heard, ...(await recorder.take(0))];
    } finally {
      recorder.close();
    }
  }

  admit(order: AdmitOrder): Promise<void> {
    return this.users.admit(order);
  }

  spread(order: SpreadOrder): Promise<Spread> {
    return this.users.spread(order);
  }

  /** What the listener has heard, once there is as much of it as is said, and when it heard the last of that. */
  private async hear(count: number): Promise<{ heard: number[]; at: number }> {
    if (!this.recorder) return { heard: [], at: performance.now() };
    const heard = await this.recorder.take(count);
    const at = this.recorder.lastAt;
    await delay(AFTERMATH_MS);
    return { heard: [...heard, ...(await this.recorder.take(0))], at };
  }
}

function eventOf(topic: string, counter: number): string {
  return `{"topic":"${topic}","type":"tick","data":${payload(counter)}}`;
}
