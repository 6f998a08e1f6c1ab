import { formatCursor } from '../log/cursor.js';
import type { LogEvent } from '../log/event.js';
import { toJson } from '../log/event.json.js';

/** What an event weighs in memory besides its frame, in bytes. */
const OVERHEAD = 500;
/** Comes before the members of the event as JSON. */
const DATA = '\ndata: {';

/**
 * An event as it goes over the wire: one block of an event stream (WHATWG HTML, section 9.2.6), made once per
 * process and shared by all who hear it. The event's own data is part of the frame and is kept nowhere else.
 */
export class FramedEvent {
  readonly seq: number;
  readonly tenant: string;
  readonly topic: string;
  readonly type: string;
  readonly key: string | null;
  readonly expiresAt: number | null;
  /** Of the data that was published, in UTF-8. */
  readonly dataBytes: number;
  /** With its `event:` line. */
  readonly frame: Buffer;

  /** The next newer event of the same tenant, topic and key, once the ring has it. */
  newer: FramedEvent | undefined;

  constructor(event: LogEvent, epoch: string) {
    this.seq = event.seq;
    this.tenant = event.tenant;
    this.topic = event.topic;
    this.type = event.type;
    this.key = event.key;
    this.expiresAt = event.expiresAt;
    this.dataBytes = Buffer.byteLength(event.data);
    this.frame = Buffer.from(
      `id: ${formatCursor(epoch, event.seq)}\nevent: ${event.type}\ndata: ${toJson(event)}\n\n`,
    );
  }

  /** Without it, so that a plain `onmessage` hears the event. A copy, which is not kept. */
  get unnamedFrame(): Buffer {
    const afterId = this.frame.indexOf('\n') + 1;
    const afterName = this.frame.indexOf('\n', afterId) + 1;
    return Buffer.concat([this.frame.subarray(0, afterId), this.frame.subarray(afterName)]);
  }

  /** The event as `toJson` gives it with an id, to the letter. */
  json(id: string): string {
    const members = this.frame.indexOf(DATA) + DATA.length;
    return `{"id":"${id}",${this.frame.toString('utf8', members, this.frame.length - 2)}`;
  }

  get bytes(): number {
    return this.frame.length + OVERHEAD;
  }
}
