import type { Latency } from '../generator/histogram.js';
import type { StreamSpec } from '../generator/protocol.js';

/** What the lab asks of a load process; all of it has to survive JSON. */
export interface Orders {
  /** Opens a stream that notes what it hears, in the order in which it hears it. */
  listen(stream: StreamSpec): Promise<void>;
  post(order: PostOrder): Promise<Posted>;
  upload(order: UploadOrder): Promise<Uploaded>;
  replay(order: ReplayOrder): Promise<Replayed>;
  /** Opens streams that stop reading as soon as they are ready. */
  stall(order: StallOrder): Promise<void>;
  /** Lets one of them read again, until it has so many events. @returns the counters it heard */
  wake(events: number): Promise<number[]>;
  /** Opens a stream for each user. */
  admit(order: AdmitOrder): Promise<void>;
  spread(order: SpreadOrder): Promise<Spread>;
}

/** Where events are posted: the contract of Belfry's `/v1/events`. */
export interface PostSpec {
  readonly port: number;
  readonly path: string;
  /** Besides Host, Content-Type and Content-Length. */
  readonly headers: Readonly<Record<string, string>>;
}

/** Posts without a pause: each connection sends its next request when the last one is answered. */
export interface PostOrder {
  readonly to: PostSpec;
  readonly topic: string;
  /** The counters are this one and those that follow. */
  readonly first: number;
  /** Events of one request. */
  readonly batch: number;
  readonly inFlight: number;
  /** Until this time is over … */
  readonly ms?: number;
  /** … or so many events are posted. */
  readonly events?: number;
}

export interface Posted {
  /** By place of its counter: the seq that each event was answered to have. */
  readonly seqs: number[];
  readonly requests: number;
  /** From the first request until the last answer, and until the listener has heard everything. */
  readonly seconds: number;
  readonly heardSeconds: number;
  readonly toAnswer: Latency;
  /** What the listener heard meanwhile; empty without one. */
  readonly heard: number[];
}

/** Newline-delimited JSON in one request. */
export interface UploadOrder {
  readonly to: PostSpec;
  readonly topic: string;
  readonly first: number;
  readonly lines: number;
}

export interface Uploaded {
  /** As the answer says. */
  readonly stored: number;
  readonly lastSeq: number;
  /** From the first byte of the request until the answer, and until the listener has heard everything. */
  readonly seconds: number;
  readonly heardSeconds: number;
  readonly heard: number[];
}

/** One client that comes back: it is to hear the counters from 1 on, so many, in order. */
export interface ReplayOrder {
  readonly stream: StreamSpec;
  readonly events: number;
}

/** Milliseconds since the request was written; the connection was open by then. */
export interface Replayed {
  readonly firstMs: number;
  readonly allMs: number;
}

export interface StallOrder {
  readonly stream: StreamSpec;
  readonly count: number;
}

/** Stream i is that of user i. */
export interface AdmitOrder {
  readonly streams: readonly StreamSpec[];
}

/** Single events at a fixed rate, to one user after the other, whatever becomes of them. */
export interface SpreadOrder {
  readonly to: PostSpec;
  /** User i hears the topic of this name followed by i. */
  readonly topic: string;
  readonly connections: number;
  readonly perSecond: number;
  readonly ms: number;
}

export interface Spread {
  readonly events: number;
  /** From the first event until the last one was heard. */
  readonly seconds: number;
  /** From the moment an event was due, so that waiting for a free connection counts, until its user had read it. */
  readonly toUser: Latency;
  readonly toAnswer: Latency;
}
