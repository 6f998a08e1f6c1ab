import { endpoint } from './address.js';
import type { Block, Ready } from './event.js';
import type { Settings } from './options.js';
import type { ConnectionState } from './source.js';

/** What tabs that share a stream say to each other. */
export type Message =
  /** A tab is here and has everything up to its cursor: it has just come, has missed something, or wonders who leads. */
  | { readonly kind: 'hello'; readonly from: string; readonly cursor: string | undefined }
  /** To it: where the stream is. With `ready` it has caught up, and nothing between that tab's cursor and there is missing. */
  | {
      readonly kind: 'welcome';
      readonly to: string;
      readonly at: string | undefined;
      readonly state: ConnectionState;
      readonly ready: Ready | undefined;
    }
  /** The next block of the stream, and where the stream was before it. */
  | { readonly kind: 'block'; readonly previous: string | undefined; readonly block: Block }
  /** Now and then, and when the state changes: where the stream is, how it is, and that somebody leads. */
  | { readonly kind: 'pulse'; readonly at: string | undefined; readonly state: ConnectionState };

/** The tabs that share one stream, as one of them talks to the others. What it says it does not hear itself. */
export class ShareChannel {
  readonly id = crypto.randomUUID();
  private readonly channel: BroadcastChannel;

  constructor(name: string, hear: (message: Message) => void) {
    this.channel = new BroadcastChannel(name);
    this.channel.onmessage = ({ data }: MessageEvent<Message>) => {
      hear(data);
    };
  }

  post(message: Message): void {
    this.channel.postMessage(message);
  }

  close(): void {
    this.channel.onmessage = null;
    this.channel.close();
  }
}

/** The same for connections that would be sent the same, and for no others: lock and channel are called so. */
export function shareName({ url, topics, types, collapse }: Settings, user: string): string {
  const wanted = [[...(topics ?? [])].sort(), [...(types ?? [])].sort(), collapse];
  return `belfry:${JSON.stringify([endpoint(url, '').href, user, ...wanted])}`;
}

/** Whether this environment has what it takes. */
export function canShare(): boolean {
  return typeof BroadcastChannel === 'function' && typeof navigator === 'object' && 'locks' in navigator;
}
