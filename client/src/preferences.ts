/** Times of day, `HH:MM`, in an IANA time zone; from 22:00 to 07:00 goes over midnight. */
export interface QuietHours {
  readonly from: string;
  readonly to: string;
  readonly timezone: string;
}

/** What a user does not want to be bothered with. */
export interface Preferences {
  /** Types of notifications. */
  readonly muted: readonly string[];
  readonly quietHours: QuietHours | null;
}
