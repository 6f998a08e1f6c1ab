/**
 * A place in the log: everything up to and including `seq` was seen. On the wire `<epoch>.<seq>`, short and ASCII,
 * so that a browser sends it back in `Last-Event-ID` without a CORS preflight.
 */
export interface Cursor {
  readonly epoch: string;
  readonly seq: number;
}

const CURSOR = /^([0-9a-z]{1,32})\.(0|[1-9]\d{0,18})$/;

export function formatCursor(epoch: string, seq: number): string {
  return `${epoch}.${seq}`;
}

/** @returns undefined when the text is not a cursor at all */
export function parseCursor(text: string): Cursor | undefined {
  const match = CURSOR.exec(text);
  if (!match?.[1] || !match[2]) return undefined;
  // Beyond 2^53 it is not exact, and past every head.
  return { epoch: match[1], seq: Number(match[2]) };
}
