// @ts-check
import { BuildError, ensureBuilt } from './build.js';

try {
  // What a command prints to standard output is its answer, and nothing else may get into it.
  await ensureBuilt({ asInstance: true, say: line => console.error(line) });
} catch (error) {
  if (!(error instanceof BuildError)) throw error;
  console.error(error.message);
  process.exit(1);
}
await import(new URL('../dist/cli.js', import.meta.url).href);
