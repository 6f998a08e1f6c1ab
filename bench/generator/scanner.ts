import { DIGITS, MARK } from './payload.js';

/** Who is told what a scanner has found. */
export interface Findings {
  /** The headers are complete. @param head status line and headers */
  onHead(head: string): void;
  onCounter(counter: number): void;
  /** The text it was to look for has come. */
  onWatched(): void;
  /** The server said that this was all. */
  onEnd(): void;
}

/** Which part of the response comes next. */
enum Part {
  Head,
  Size,
  Chunk,
  AfterChunk,
  Unchunked,
  Ended,
}

const LF = 10;
const ZERO = 48;
const SEMICOLON = 59;
/** Longer headers than any contender sends. */
const HEAD_LENGTH = 16_384;

/**
 * Reads one response as it comes, in pieces that begin and end anywhere: inside the headers, a chunk's size, an event,
 * a counter. It takes off the chunked coding (RFC 9112, section 7.1) and finds the counters; nothing is copied and
 * nothing is allocated after the headers.
 *
 *     head ─► size ─► chunk ─► after chunk ─► size …   (size 0: ended)
 *       └──► unchunked
 */
export class Scanner {
  private part = Part.Head;
  private head = '';
  /** Of the chunk, or while its size is read, that size. */
  private left = 0;
  private inExtension = false;
  /** Digits of the counter read so far; -1 outside a counter. */
  private digits = -1;
  private counter = 0;
  /** Characters of the watched text that the last bytes are. */
  private matched = 0;

  /** @param watched text in the body to look for, once; its first character must not come again in it */
  constructor(
    private readonly findings: Findings,
    private watched: Buffer | undefined,
  ) {}

  /** @param end length of what was read, from the beginning of the bytes on */
  take(bytes: Buffer, end: number): void {
    let at = this.part === Part.Head ? this.takeHead(bytes, end) : 0;
    while (at < end) {
      switch (this.part) {
        case Part.Chunk: {
          const stop = Math.min(end, at + this.left);
          this.left -= stop - at;
          this.scan(bytes, at, stop);
          at = stop;
          if (this.left === 0) this.part = Part.AfterChunk;
          break;
        }
        case Part.AfterChunk:
          if (bytes[at++] === LF) this.part = Part.Size;
          break;
        case Part.Size:
          this.takeSize(bytes[at++] ?? 0);
          break;
        case Part.Unchunked:
          this.scan(bytes, at, end);
          at = end;
          break;
        case Part.Head:
        case Part.Ended:
          return;
      }
    }
  }

  /** @returns where the body begins; the end, when the headers go on */
  private takeHead(bytes: Buffer, end: number): number {
    const before = this.head.length;
    this.head += bytes.toString('latin1', 0, end);
    const blank = this.head.indexOf('\r\n\r\n');
    if (blank < 0) {
      if (this.head.length > HEAD_LENGTH) throw new Error(`no end of headers in ${HEAD_LENGTH} bytes`);
      return end;
    }
    const head = this.head.slice(0, blank);
    this.head = '';
    this.part = /^transfer-encoding:.*chunked/im.test(head) ? Part.Size : Part.Unchunked;
    this.findings.onHead(head);
    return blank + 4 - before;
  }

  private takeSize(byte: number): void {
    if (byte === LF) {
      this.inExtension = false;
      this.part = this.left === 0 ? Part.Ended : Part.Chunk;
      if (this.left === 0) this.findings.onEnd();
    } else if (byte === SEMICOLON) {
      this.inExtension = true;
    } else if (!this.inExtension) {
      const digit = hexDigit(byte);
      if (digit >= 0) this.left = this.left * 16 + digit;
    }
  }

  private scan(bytes: Buffer, from: number, end: number): void {
    if (this.watched) this.watch(this.watched, bytes, from, end);
    let at = this.digits >= 0 ? this.takeCounter(bytes, from, end) : from;
    while (at < end) {
      if (bytes[at++] !== MARK) continue;
      this.digits = 0;
      this.counter = 0;
      at = this.takeCounter(bytes, at, end);
    }
  }

  private takeCounter(bytes: Buffer, from: number, end: number): number {
    let at = from;
    while (at < end && this.digits < DIGITS) {
      this.counter = this.counter * 10 + (bytes[at++] ?? 0) - ZERO;
      this.digits++;
    }
    if (this.digits === DIGITS) {
      this.digits = -1;
      this.findings.onCounter(this.counter);
    }
    return at;
  }

  private watch(watched: Buffer, bytes: Buffer, from: number, end: number): void {
    for (let at = from; at < end; at++) {
      const byte = bytes[at];
      if (byte === watched[this.matched]) this.matched++;
      else this.matched = byte === watched[0] ? 1 : 0;
      if (this.matched === watched.length) {
        this.watched = undefined;
        this.findings.onWatched();
        return;
      }
    }
  }
}

function hexDigit(byte: number): number {
  if (byte >= 48 && byte <= 57) return byte - 48;
  const letter = byte | 32;
  return letter >= 97 && letter <= 102 ? letter - 87 : -1;
}
