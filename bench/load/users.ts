import { setTimeout as delay } from 'node:timers/promises';
import { Histogram } from '../generator/histogram.js';
import { payload } from '../generator/payload.js';
import { seqsIn } from './answer.js';
import { Listener } from './listener.js';
import { Poster } from './poster.js';
import type { AdmitOrder, Spread, SpreadOrder } from './protocol.js';

/** User u hears the counters `u × SPAN`, `u × SPAN + 1`, …: each says whose it is. */
const SPAN = 100_000;
/** Streams that wait for being ready, at most so many: past the listen backlog of 511 the kernel drops attempts. */
const OPENING = 400;
const ADMIT_MS = 120_000;
/** A server that has everything on its way is given so long to deliver it. */
const PATIENCE_MS = 15_000;
const POLL_MS = 5;
/** An event that is delivered twice may come late the second time. */
const AFTERMATH_MS = 100;

/** Streams of users who each hear what is theirs, and nothing else. */
export class Users {
  private readonly streams: Listener[] = [];
  /** Of each user: events heard so far. */
  private heard = new Uint32Array(0);
  private ready = 0;
  /** By number of the event: when it was due. Event n goes to user n modulo the number of users. */
  private readonly dueAt: number[] = [];
  private delivered = 0;
  private lastAt = 0;
  private toUser = new Histogram();
  private violation: string | undefined;

  async admit({ streams }: AdmitOrder): Promise<void> {
    this.heard = new Uint32Array(streams.length);
    const deadline = performance.now() + ADMIT_MS;
    for (const [user, stream] of streams.entries()) {
      while (this.streams.length - this.ready >= OPENING) await this.pause(deadline, 'users get in');
      this.streams.push(
        new Listener(stream, {
          onReady: () => this.ready++,
          onCounter: counter => {
            this.deliver(user, counter);
          },
          onCut: reason => {
            this.violation ??= `user ${user} was cut off: ${reason}`;
          },
        }),
      );
    }
    while (this.ready < streams.length) await this.pause(deadline, 'all users are in');
  }

  async spread({ to, topic, connections, perSecond, ms }: SpreadOrder): Promise<Spread> {
    const posters = Array.from({ length: connections }, () => new Poster(to));
    const users = this.streams.length;
    const first = this.dueAt.length;
    const events = Math.round((perSecond * ms) / 1000);
    const toAnswer = new Histogram();
    this.toUser = new Histogram();
    const began = performance.now();
    let answered = 0;
    const send = (number: number): void => {
      const user = number % users;
      const counter = user * SPAN + Math.floor(number / users);
      const dueAt = this.dueAt[number] ?? 0;
      // All events of a user take the same connection: otherwise two could overtake each other before the server.
      const answer = posters[user % connections]?.post(
        `{"topic":"${topic}${user}","type":"tick","data":${payload(counter)}}`,
      );
      answer
        ?.then(text => {
          seqsIn(text, 1);
          toAnswer.record(performance.now() - dueAt);
          answered++;
        })
        .catch((error: unknown) => {
          this.violation ??= String(error);
        });
    };
    try {
      for (let sent = 0; sent < events;) {
        const due = Math.min(events, Math.floor(((performance.now() - began) * perSecond) / 1000) + 1);
        for (; sent < due; sent++) {
          this.dueAt.push(began + (sent * 1000) / perSecond);
          send(first + sent);
        }
        await delay(1);
      }
      const deadline = performance.now() + PATIENCE_MS;
      while (this.delivered < first + events || answered < events) await this.pause(deadline, 'all have all');
      const seconds = (this.lastAt - began) / 1000;
      await delay(AFTERMATH_MS);
      if (this.violation !== undefined) throw new Error(this.violation);
      return { events, seconds, toUser: this.toUser.summary(), toAnswer: toAnswer.summary() };
    } finally {
      for (const poster of posters) poster.close();
    }
  }

  private deliver(user: number, counter: number): void {
    const place = this.heard[user] ?? 0;
    if (counter !== user * SPAN + place) {
      this.violation ??= `user ${user} was to hear ${user * SPAN + place} and heard ${counter}`;
      return;
    }
    this.heard[user] = place + 1;
    this.delivered++;
    this.lastAt = performance.now();
    this.toUser.record(this.lastAt - (this.dueAt[place * this.streams.length + user] ?? 0));
  }

  private async pause(deadline: number, what: string): Promise<void> {
    if (this.violation !== undefined) throw new Error(this.violation);
    if (performance.now() > deadline) {
      throw new Error(
        `it takes too long until ${what}: ${this.ready} of ${this.streams.length} users are ready, ` +
          `${this.delivered} of ${this.dueAt.length} events were heard`,
      );
    }
    await delay(POLL_MS);
  }
}
