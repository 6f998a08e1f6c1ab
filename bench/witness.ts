import type { Child } from './child.js';

/** Does something with a server; when it fails, the error also has what the server logged last. */
export async function witnessed<T>(child: Child, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    const what = error instanceof Error ? error.message : String(error);
    throw new Error(`${what}\nthe last lines of ${child.name}:\n${child.lastLines()}`, { cause: error });
  }
}
