import { setTimeout as delay } from 'node:timers/promises';
import { Client, type Crowd } from './client.js';
import { Histogram } from './histogram.js';
import type { Connected, ConnectOrder, Orders, PaceOrder, Published, PublishOrder } from './protocol.js';
import { Publisher } from './publisher.js';
import { SqlPublisher } from './sql.publisher.js';

/** Sockets may come from one address up to here: ports for outgoing connections are some 28,000. */
const PORTS = 20_000;
/**
 * Connections that wait for their first byte, at most so many. Servers have a listen backlog of 511 (Node, nginx), and
 * past it the kernel drops the attempt: one would measure that it tries again after a second.
 */
const IN_FLIGHT = 400;
/** What a read takes at most, in bytes. */
const READ = 64 * 1024;
/** A server that has everything on its way is given so long to deliver it. */
const PATIENCE_MS = 20_000;
const CONNECT_MS = 120_000;
/** Events of which the time of publishing is known. Many more than are ever on their way. */
const REMEMBERED = 1 << 16;
/** An event that is delivered twice may come late the second time. */
const AFTERMATH_MS = 100;
const EXAMPLES = 5;
/** Publishes, however slow the server is. */
const FEWEST = 3;

/** Opens streams, publishes, and checks and times every delivery; the publisher's clock and the clients' are one. */
export class Generator implements Orders, Crowd {
  readonly buffer = Buffer.allocUnsafe(READ);
  private readonly clients: Client[] = [];
  /** The counter of the next event. */
  private counter = 1;
  private readonly publishedAt = new Float64Array(REMEMBERED);
  private delivered = 0;
  private timing = false;
  private toClient = new Histogram();
  private firstBytes = 0;
  private ready = 0;
  private perClient = new Histogram();
  private firstByteAt = 0;
  /** When the present read began; once per read and not per event, because asking costs as much as an event. */
  private now = 0;
  /** When something last came that was waited for. */
  private lastAt = 0;
  private violations = 0;
  private readonly examples: string[] = [];
  /** Looked at after each delivery, and each client that gets ready. */
  private goal: { readonly reached: () => boolean; readonly resolve: () => void } | undefined;
  private room: (() => void) | undefined;

  async connect({ streams, count, missed }: ConnectOrder): Promise<Connected> {
    const began = performance.now();
    const before = this.clients.length;
    this.firstBytes = 0;
    this.ready = 0;
    this.perClient = new Histogram();
    const all = this.reaches(CONNECT_MS, () => this.ready === count, `${count} clients are ready`);
    // Until it is awaited below, it may have failed already.
    all.catch(() => undefined);
    for (let index = 0; index < count; index++) {
      const stream = streams[index % streams.length];
      if (!stream) throw new Error('no stream to connect to');
      const opened = before + index;
      const first = missed ? missed.first + index * missed.stride : this.counter;
      const client = new Client(opened, stream, addressOf(opened), this, first, first + (missed?.count ?? 0));
      this.clients.push(client);
      while (index + 1 - this.firstBytes >= IN_FLIGHT && this.violations === 0 && this.goal)
        await this.hasRoom();
      if (this.violations > 0) break;
    }
    await all;
    return {
      firstByteMs: this.firstByteAt - began,
      readyMs: this.lastAt - began,
      perClient: this.perClient.summary(),
    };
  }

  async publish({ publish, burst, ms }: PublishOrder): Promise<Published> {
    const publisher = await Publisher.open(publish);
    const run = this.begin();
    const until = performance.now() + ms;
    try {
      for (let rounds = 0; rounds < FEWEST || performance.now() < until; rounds++) {
        const target = this.delivered + burst * this.clients.length;
        const arrived = this.reaches(
          PATIENCE_MS,
          () => this.delivered >= target,
          `${this.clients.length} clients have ${burst === 1 ? 'the event' : `the ${burst} events`} from ${this.counter} on`,
        );
        const at = this.stamp(burst);
        const answered = publisher.publish(this.counter - burst, burst).then(() => {
          run.toAnswer.record(performance.now() - at);
        });
        await Promise.all([arrived, answered]);
        run.toLast.record(this.lastAt - at);
      }
    } finally {
      publisher.close();
    }
    return this.finish(run);
  }

  async pace({ publish, perSecond, ms }: PaceOrder): Promise<Published> {
    const publisher = await ('url' in publish ? SqlPublisher.open(publish) : Publisher.open(publish));
    const run = this.begin();
    const began = performance.now();
    const events = Math.round((perSecond * ms) / 1000);
    const target = this.delivered + events * this.clients.length;
    try {
      for (let index = 0; index < events; index++) {
        await delay(Math.max(0, began + (index * 1000) / perSecond - performance.now()));
        // A transaction is published when it commits.
        if (publisher instanceof SqlPublisher) await publisher.begin(this.counter);
        const at = this.stamp(1);
        if (publisher instanceof SqlPublisher) await publisher.commit();
        else await publisher.publish(this.counter - 1, 1);
        run.toAnswer.record(performance.now() - at);
      }
      await this.reaches(PATIENCE_MS, () => this.delivered >= target, 'all clients have all events');
    } finally {
      publisher.close();
    }
    return this.finish(run);
  }

  async disconnect(): Promise<void> {
    await Promise.all(this.clients.splice(0).map(client => client.close()));
  }

  onRead(): void {
    this.now = performance.now();
  }

  onFirstByte(): void {
    this.firstBytes++;
    this.firstByteAt = this.now;
    this.room?.();
  }

  onReady(client: Client): void {
    this.lastAt = this.now;
    this.perClient.record(this.lastAt - client.began);
    this.ready++;
    this.look();
  }

  onDelivered(counter: number): void {
    this.lastAt = this.now;
    if (this.timing) this.toClient.record(this.lastAt - (this.publishedAt[counter % REMEMBERED] ?? 0));
    this.delivered++;
    this.look();
  }

  onViolation(client: Client, what: string): void {
    this.violations++;
    if (this.examples.length < EXAMPLES) this.examples.push(`client ${client.index} ${what}`);
    this.room?.();
    this.look();
  }

  private begin() {
    this.timing = true;
    this.toClient = new Histogram();
    return {
      toLast: new Histogram(),
      toAnswer: new Histogram(),
      began: performance.now(),
      first: this.counter,
      delivered: this.delivered,
    };
  }

  private async finish(run: ReturnType<Generator['begin']>): Promise<Published> {
    const seconds = (this.lastAt - run.began) / 1000;
    this.timing = false;
    await delay(AFTERMATH_MS);
    if (this.violations > 0) throw this.failure();
    return {
      events: this.counter - run.first,
      deliveries: this.delivered - run.delivered,
      seconds,
      toClient: this.toClient.summary(),
      toLast: run.toLast.summary(),
      toAnswer: run.toAnswer.summary(),
    };
  }

  /** Takes the next counters, published now. */
  private stamp(count: number): number {
    const now = performance.now();
    for (let index = 0; index < count; index++) this.publishedAt[this.counter++ % REMEMBERED] = now;
    return now;
  }

  private hasRoom(): Promise<void> {
    return new Promise(resolve => {
      this.room = resolve;
    });
  }

  private look(): void {
    if (this.goal && (this.violations > 0 || this.goal.reached())) this.goal.resolve();
  }

  /** @throws Error when it takes too long, or a client sees what it must not see */
  private async reaches(ms: number, reached: () => boolean, what: string): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    const late = await new Promise<boolean>(resolve => {
      this.goal = {
        reached,
        resolve: () => {
          resolve(false);
        },
      };
      timer = setTimeout(resolve, ms, true);
      this.look();
    });
    clearTimeout(timer);
    this.goal = undefined;
    // Nobody opens further connections for it.
    this.room?.();
    if (this.violations > 0) {
      // What else goes wrong at the same moment makes the report clearer.
      await delay(AFTERMATH_MS);
      throw this.failure();
    }
    if (!late) return;
    const behind = this.clients.filter(client => client.expected < this.counter);
    const examples = behind
      .slice(0, EXAMPLES)
      .map(client => `client ${client.index} waits for ${client.expected}`);
    throw new Error(
      `after ${ms / 1000} s it is not so that ${what}: ${behind.length} of ${this.clients.length} clients lack ` +
        `events before ${this.counter} (${examples.join('; ') || 'none'}), ${this.ready} were ready`,
    );
  }

  private failure(): Error {
    return new Error(`${this.violations} violations: ${this.examples.join('; ')}`);
  }
}

/** The first loopback address is left to the kernel, which then takes a port's other ends into account. */
function addressOf(index: number): string | undefined {
  const number = Math.floor(index / PORTS);
  return number === 0 ? undefined : `127.0.0.${number + 1}`;
}
