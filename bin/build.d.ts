/** Types of `build.js` for the tests, which are checked by TypeScript; see there. */
export class BuildError extends Error {}
export function ensureBuilt(options?: { asInstance?: boolean }): Promise<void>;
