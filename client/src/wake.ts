/**
 * Calls back when the network is back or the page is seen again: whatever waits need not wait any longer, and what
 * looks alive may be dead since the computer slept. Nothing of the kind happens outside a page.
 *
 * @returns takes the listeners away
 */
export function onWake(wake: () => void): () => void {
  const controller = new AbortController();
  const { signal } = controller;
  if (typeof window !== 'undefined') window.addEventListener('online', wake, { signal });
  if (typeof document !== 'undefined') {
    document.addEventListener(
      'visibilitychange',
      () => {
        if (document.visibilityState === 'visible') wake();
      },
      { signal },
    );
  }
  return () => {
    controller.abort();
  };
}
