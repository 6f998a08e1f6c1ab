// @ts-check
import { BuildError, ensureBuilt } from './build.js';

const buildOnly = process.argv.includes('--build-only');
try {
  await ensureBuilt({ asInstance: !buildOnly });
} catch (error) {
  if (!(error instanceof BuildError)) throw error;
  console.error(error.message);
  process.exit(1);
}
// In this very process, so that a signal to `npm start` reaches the service itself.
if (!buildOnly) await import(new URL('../dist/main.js', import.meta.url).href);
