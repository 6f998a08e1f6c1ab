/**
 * Waits until something has ended, but not for longer than that, in milliseconds. Whether it has is not told: it is for
 * last words, which nobody needs. What fails too late is not heard of.
 *
 * @throws what it fails with in time
 */
export async function waitAtMost(ms: number, end: Promise<unknown>): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<void>(resolve => (timer = setTimeout(resolve, ms)));
  try {
    await Promise.race([end, late]);
  } finally {
    clearTimeout(timer);
  }
}
