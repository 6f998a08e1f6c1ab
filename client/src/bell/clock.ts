const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

/** Numbers and times as a language writes them. */
export class Clock {
  private readonly number: Intl.NumberFormat;
  private readonly ago: Intl.RelativeTimeFormat;
  private readonly date: Intl.DateTimeFormat;
  private readonly full: Intl.DateTimeFormat;
  private readonly soon: Intl.DateTimeFormat;
  private readonly later: Intl.DateTimeFormat;

  /**
   * @param lang a BCP 47 tag; what no browser knows as one falls back to the browser's own language
   * @param nowWord for what is younger than a minute
   */
  constructor(
    lang: string,
    private readonly nowWord: string,
  ) {
    const locale = known(lang);
    this.number = new Intl.NumberFormat(locale);
    this.ago = new Intl.RelativeTimeFormat(locale, { numeric: 'auto', style: 'short' });
    this.date = new Intl.DateTimeFormat(locale, { day: 'numeric', month: 'short', year: 'numeric' });
    this.full = new Intl.DateTimeFormat(locale, { dateStyle: 'full', timeStyle: 'short' });
    this.soon = new Intl.DateTimeFormat(locale, { weekday: 'short', hour: 'numeric', minute: '2-digit' });
    this.later = new Intl.DateTimeFormat(locale, { weekday: 'short', day: 'numeric', month: 'short' });
  }

  /** Counts are exact to 99: 100 says "100 or more". */
  count(n: number): string {
    return n > 99 ? `${this.number.format(99)}+` : this.number.format(n);
  }

  relative(at: Date, now = Date.now()): string {
    const age = now - at.getTime();
    if (Number.isNaN(age)) return '';
    // A clock that is a little behind the server's must not say "in 2 minutes".
    if (age < MINUTE) return this.nowWord;
    if (age < HOUR) return this.ago.format(-Math.floor(age / MINUTE), 'minute');
    if (age < DAY) return this.ago.format(-Math.floor(age / HOUR), 'hour');
    if (age < 7 * DAY) return this.ago.format(-Math.floor(age / DAY), 'day');
    return this.date.format(at);
  }

  exact(at: Date): string {
    return Number.isNaN(at.getTime()) ? '' : this.full.format(at);
  }

  /** A day of the next few and its hour, or the date of one further on. */
  upcoming(at: Date, now = Date.now()): string {
    return (at.getTime() - now < 6 * DAY ? this.soon : this.later).format(at);
  }
}

/** The times one may put a notification off to, as the user's own clock has them. */
export function snoozeTimes(now = new Date()): { hour: Date; tomorrow: Date; week: Date } {
  const morning = (days: number): Date =>
    new Date(now.getFullYear(), now.getMonth(), now.getDate() + days, 9, 0, 0, 0);
  return {
    hour: new Date(now.getTime() + HOUR),
    tomorrow: morning(1),
    // The next Monday that is not tomorrow already.
    week: morning(now.getDay() === 0 ? 8 : 8 - now.getDay()),
  };
}

function known(lang: string): string | undefined {
  try {
    return Intl.getCanonicalLocales(lang)[0];
  } catch {
    // Not a language tag: `lang` is the page's to fill, and "" or "en_US" is no reason to show nothing.
    return undefined;
  }
}
