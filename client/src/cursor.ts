/** A place in the log, `<epoch>.<seq>`. */
interface Place {
  readonly epoch: string;
  readonly seq: number;
}

function placeOf(cursor: string): Place | undefined {
  const dot = cursor.lastIndexOf('.');
  const seq = Number(cursor.slice(dot + 1));
  return dot > 0 && Number.isSafeInteger(seq) ? { epoch: cursor.slice(0, dot), seq } : undefined;
}

/**
 * @returns less than, equal to or greater than 0; undefined when the two cannot be compared, because a failover or a
 *   restore lies between them
 */
export function compareCursors(a: string, b: string): number | undefined {
  const left = placeOf(a);
  const right = placeOf(b);
  if (!left || !right) return a === b ? 0 : undefined;
  return left.epoch === right.epoch ? left.seq - right.seq : undefined;
}

/** Whether everything up to `cursor` includes `id`; not when that cannot be known. */
export function isWithin(id: string, cursor: string): boolean {
  const order = compareCursors(id, cursor);
  return order !== undefined && order <= 0;
}

/**
 * For lists, newest first. Seqs of what is still there are unique across epochs, so they order it also where one
 * cursor could not be used for the other.
 */
export function newestFirst(a: { readonly id: string }, b: { readonly id: string }): number {
  return seqOf(b.id) - seqOf(a.id);
}

/** Its place in the log of one history or another; 0 for what is no cursor. */
export function seqOf(cursor: string): number {
  return placeOf(cursor)?.seq ?? 0;
}
