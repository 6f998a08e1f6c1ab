/** Longest type, key and dedupeId, in characters. */
export const NAME_LENGTH = 200;

// eslint-disable-next-line no-control-regex
const CONTROL = /[\u0000-\u001f\u007f]/;
/** Half of a surrogate pair, which UTF-8 cannot carry. */
const LONE_SURROGATE = /\p{Surrogate}/u;
/** True for what a type, a key or a dedupeId may be: it has to fit on one line, into UTF-8 and into Postgres. */
export function isName(text: string): boolean {
  return text !== '' && text.length <= NAME_LENGTH && !CONTROL.test(text) && !LONE_SURROGATE.test(text);
}
