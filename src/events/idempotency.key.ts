import { Problem } from '../errors/problem.js';
import { NAME_LENGTH } from '../log/name.js';

/** Printable ASCII, as a header can carry it. */
const KEY = new RegExp(`^[\\x20-\\x7e]{1,${NAME_LENGTH}}$`);

/** @throws Problem when the header Idempotency-Key was sent and cannot be one */
export function requireIdempotencyKey(key: string | undefined): void {
  if (key !== undefined && !KEY.test(key)) throw new Problem('idempotency-key-invalid');
}
