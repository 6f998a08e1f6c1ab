import type { Preferences } from './preferences.js';

/** Whether a notification may call for attention. */
export function mayDisturb(
  { type, priority }: { readonly type: string; readonly priority: string },
  preferences: Preferences | undefined,
  now: Date,
): boolean {
  if (!preferences) return true;
  if (preferences.muted.includes(type)) return false;
  return priority === 'urgent' || !isQuiet(preferences, now);
}

function isQuiet({ quietHours }: Preferences, now: Date): boolean {
  if (!quietHours) return false;
  const { from, to, timezone } = quietHours;
  const time = timeIn(timezone, now);
  if (time === undefined) return false;
  // Times of day in one form compare as text.
  return from <= to ? from <= time && time < to : from <= time || time < to;
}

function timeIn(timeZone: string, now: Date): string | undefined {
  try {
    const format = { hour: '2-digit', minute: '2-digit', hourCycle: 'h23', timeZone } as const;
    return new Intl.DateTimeFormat('en-GB', format).format(now);
  } catch {
    // This browser does not know the zone: rather a notification too many than one too few.
    return undefined;
  }
}
