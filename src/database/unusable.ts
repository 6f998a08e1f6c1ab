import { BootError } from '../errors/boot-error.js';
import { reasonOf } from '../errors/reason.js';

/** @param variable the one whose URL leads to the database */
export function unusable(variable: string, error: unknown): BootError {
  return new BootError(
    `The database of ${variable} cannot be used (${reasonOf(error)}): check that it runs, and the URL's host, port, database, user and password.`,
    { cause: error },
  );
}
