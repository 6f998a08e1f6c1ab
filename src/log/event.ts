/** An event as a publisher hands it in; checked, with its data as the very text that was sent. */
export interface NewEvent {
  readonly topic: string;
  readonly type: string;
  /** One line of JSON text, kept to the letter. */
  readonly data: string;
  readonly key: string | null;
  /** Milliseconds since 1970, by the database's clock; null: as long as the log keeps it. */
  readonly expiresAt: number | null;
  readonly dedupeId: string | null;
}

/** An event in the log. */
export interface LogEvent {
  readonly seq: number;
  readonly tenant: string;
  readonly topic: string;
  readonly type: string;
  readonly data: string;
  readonly key: string | null;
  /** When it was appended, in milliseconds since 1970, by the database's clock. */
  readonly at: number;
  readonly expiresAt: number | null;
}

/** The type of an event that another can take back: see `retractionKey`. */
export const RETRACTABLE = 'notification.created';

/** The type of the event that takes it back. */
export const RETRACTION = 'notification.retracted';

/** The key of the event that takes back the event with this seq, under the same topic; whoever catches up gets it instead. */
export function retractionKey(seq: number): string {
  return `retracted ${seq}`;
}
