import type { Child } from './child.js';
import type { PublishSpec, StreamSpec } from './generator/protocol.js';
import type { Settings } from './settings.js';
import type { Stage } from './stage.js';

/** A server that fans events out to streams, up and running. */
export interface Target {
  /** Processes whose CPU and memory are the server's. */
  readonly children: readonly Child[];
  /** Connections are dealt out to them in turn. */
  readonly streams: readonly StreamSpec[];
  readonly publish: PublishSpec;
}

/** A kind of server that takes part. */
export interface Contender {
  readonly name: string;
  /** Says what is there to run, or why it cannot be run here. */
  find(settings: Settings): Promise<Found> | Found;
  start(stage: Stage): Promise<Target>;
}

export type Found = { readonly version: string } | { readonly missing: string };
