import { reasonOf } from './reason.js';

/** The database was not reached, or is going down, rather than refused what it was asked. Trying again may help. */
export class Outage extends Error {
  constructor(cause: unknown) {
    super(`the database cannot be reached (${reasonOf(cause)})`, { cause });
  }
}
