/**
 * The service cannot start, and whoever started it can do something about it. The message is one sentence that
 * says what; it is printed alone, without a stack, which would only hide it.
 */
export class BootError extends Error {
  override readonly name = 'BootError';
}
