import { compareCursors } from './cursor.js';
import type { Block } from './event.js';

/** What one tab does with a block of a stream that others read too. */
export type Seam = 'take' | 'drop' | 'gap' | 'forked';

/**
 * @param cursor the tab has everything up to here; undefined when it wants what is new
 * @param previous where the stream was before the block; undefined when it began there, with what is new
 */
export function seam(cursor: string | undefined, previous: string | undefined, block: Block): Seam {
  if (block.id === undefined || block.kind === 'reset') return 'take';
  // What is replayed is for others.
  if (cursor === undefined) return previous === undefined || block.kind === 'ready' ? 'take' : 'drop';
  if (previous === cursor) return 'take';
  const ahead = compareCursors(block.id, cursor);
  if (ahead === undefined) return 'forked';
  if (ahead <= 0) return 'drop';
  return isAtLeast(cursor, previous) ? 'take' : 'gap';
}

/** Whether it has everything up to `place`, as far as can be known. */
export function isAtLeast(cursor: string, place: string | undefined): boolean {
  return place !== undefined && (compareCursors(cursor, place) ?? -1) >= 0;
}
