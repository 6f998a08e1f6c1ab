import { setTimeout as delay } from 'node:timers/promises';

const DEADLINE_MS = 20_000;

/** Waits for a condition, not for a time. The deadline only turns a hang into a failure that says what was missed. */
export async function until(
  what: string,
  holds: () => boolean | Promise<boolean>,
  deadlineMs = DEADLINE_MS,
): Promise<void> {
  const deadline = performance.now() + deadlineMs;
  while (!(await holds())) {
    if (performance.now() > deadline) throw new Error(`never happened: ${what}`);
    await delay(2);
  }
}
