import type { Latency } from './histogram.js';

/** What the lab asks of a generator, in a process of its own; all of it has to survive JSON. */
export interface Orders {
  connect(order: ConnectOrder): Promise<Connected>;
  publish(order: PublishOrder): Promise<Published>;
  pace(order: PaceOrder): Promise<Published>;
  /** Closes all connections; resolves when they are closed. */
  disconnect(): Promise<void>;
}

/** Where streams are opened. */
export interface StreamSpec {
  readonly port: number;
  /** Path and query. */
  readonly path: string;
  /** Besides Host. */
  readonly headers?: Readonly<Record<string, string>>;
  /** Text in the body of the answer that says that the client is subscribed; without it, its headers say so. */
  readonly ready?: string;
}

export interface ConnectOrder {
  /** Connection i gets number i modulo their number: one for all, one for each, or one per server. */
  readonly streams: readonly StreamSpec[];
  readonly count: number;
  /**
   * Counters that connection i is to see besides being ready: from `first + i * stride` on, so many. Left out: it sees
   * what is published from now on.
   */
  readonly missed?: { readonly first: number; readonly stride: number; readonly count: number };
}

/** All times in milliseconds from the first connection attempt, until the last client was so far. */
export interface Connected {
  readonly firstByteMs: number;
  readonly readyMs: number;
  /** Of each client by itself, from its connection attempt until it was ready and had caught up. */
  readonly perClient: Latency;
}

/** How to publish; the bodies are `open`, then the events with `separator` between them, then `close`. */
export interface Envelope {
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly open?: string;
  readonly before?: string;
  readonly after?: string;
  readonly separator?: string;
  readonly close?: string;
  /** The data goes into a form field: it is percent-encoded. */
  readonly form?: boolean;
}

export interface PublishSpec {
  readonly port: number;
  readonly single: Envelope;
  /** Several events in one request; without it, a burst is one request after the other. */
  readonly burst?: Envelope;
}

/** How to publish by SQL. */
export interface SqlPublishSpec {
  /** Of the database. */
  readonly url: string;
  readonly topic: string;
}

/** The next burst is published when all clients have the last one. */
export interface PublishOrder {
  readonly publish: PublishSpec;
  /** Events at a time. */
  readonly burst: number;
  readonly ms: number;
}

/** Single events at a fixed rate, whatever becomes of them. */
export interface PaceOrder {
  readonly publish: PublishSpec | SqlPublishSpec;
  readonly perSecond: number;
  readonly ms: number;
}

export interface Published {
  readonly events: number;
  readonly deliveries: number;
  readonly seconds: number;
  /** From just before the request was written until a client had read the event. */
  readonly toClient: Latency;
  /** The same until the last client had it; of a burst, its last event. */
  readonly toLast: Latency;
  /** Until the publisher had its answer. */
  readonly toAnswer: Latency;
}
