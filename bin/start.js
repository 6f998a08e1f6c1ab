// @ts-check
import { BuildError, ensureBuilt } from './build.js';

try {
  await ensureBuilt({ asInstance: true });
} catch (error) {
  if (!(error instanceof BuildError)) throw error;
  console.error(error.message);
  process.exit(1);
}
// In this very process, so that a signal to `npm start` reaches the service itself.
await import(new URL('../dist/main.js', import.meta.url).href);
