import { CommandError } from './command.js';

const DAY_MS = 86_400_000;
const UNITS: Readonly<Record<string, number>> = { h: 3_600_000, d: DAY_MS, w: 7 * DAY_MS };

const SPAN = /^(\d{1,5})([hdw])$/;
/** RFC 3339, section 5.6: a date, which begins at midnight UTC, or a date with a time, seconds optional. */
const TIME = /^(\d{4}-\d{2}-\d{2})(?:T\d{2}:\d{2}(?::\d{2}(?:\.\d+)?)?(?:Z|[+-]\d{2}:\d{2}))?$/;

/**
 * When something ends: so long from now, or at a time.
 *
 * @throws CommandError
 */
export function parseExpiry(text: string, option: string): Date {
  const [, count, unit = ''] = SPAN.exec(text) ?? [];
  const time = count === undefined ? timeOf(text) : Date.now() + Number(count) * (UNITS[unit] ?? NaN);
  if (!(time > Date.now())) {
    throw new CommandError(
      `${option} must be a span such as 12h, 90d or 8w, or a time to come such as 2030-01-31 or 2030-01-31T12:00:00Z.`,
    );
  }
  return new Date(time);
}

/** @returns NaN for what is no time */
function timeOf(text: string): number {
  const date = TIME.exec(text)?.[1];
  // Date.parse takes the 30th of February for the 2nd of March.
  if (date === undefined || new Date(date).getUTCDate() !== Number(date.slice(-2))) return NaN;
  return Date.parse(text);
}
