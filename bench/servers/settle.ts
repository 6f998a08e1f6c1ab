/**
 * Loaded into every measured server that runs on Node, before its own code: at SIGUSR2 it collects its garbage, so that
 * resident memory can be compared without the luck of when the engine last did.
 */

/** How often to look whether whoever started this process is still there. */
const ORPHAN_MS = 1_000;

process.on('SIGUSR2', () => {
  // The second takes what only finalisers of the first let go.
  globalThis.gc?.();
  globalThis.gc?.();
});

const parent = process.ppid;
setInterval(() => {
  if (process.ppid !== parent) process.exit(1);
}, ORPHAN_MS).unref();
