/**
 * The data of every event: JSON of about 120 bytes, with a counter of fixed width after a mark. The mark is found
 * nowhere else in what servers send, so a client can look for it without reading the rest.
 */
export const MARK = 0x7e; // ~
export const DIGITS = 10;

const TEXT = 'Invoice 2026-1187 of Harbour Supplies was paid in full. Nothing is left to do.';

export function payload(counter: number): string {
  return `{"n":"~${String(counter).padStart(DIGITS, '0')}","text":"${TEXT}","url":"/i/1187"}`;
}
