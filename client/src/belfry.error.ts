/**
 * Why something did not work. `code` is stable: that of the server's problem details where it sent some, else one of
 *
 * | code           | meaning                                                                        |
 * | -------------- | ------------------------------------------------------------------------------ |
 * | `network`      | the server was not reached, or the connection broke                            |
 * | `silent`       | nothing came for as long as `heartbeat` allows, or a request took too long     |
 * | `status`       | the server answered with a status that says no                                 |
 * | `content-type` | the answer was no event stream, or no JSON                                     |
 * | `too-large`    | an event was longer than `maxBlock`                                            |
 * | `malformed`    | an event was not what the protocol says; it was left out                       |
 * | `reset-loop`   | the stream was reset again and again without an event in between               |
 * | `credential`   | the callback for a token or a ticket failed                                    |
 * | `user-changed` | the token is of another user than the one whose connection is shared           |
 * | `storage`      | the cursor could not be read or kept                                           |
 * | `handler`      | a handler of the page threw                                                    |
 * | `overrun`      | more changes wait to be sent than may                                          |
 * | `closed`       | it was closed meanwhile                                                        |
 *
 * The error behind it, where there is one, is its `cause`.
 */
export class BelfryError extends Error {
  override readonly name = 'BelfryError';
  readonly code: string;
  /** Of the HTTP answer, where there was one. */
  readonly status: number | undefined;
  /** When the server is to be asked again, in milliseconds from now. */
  readonly retryAfterMs: number | undefined;

  constructor(
    code: string,
    message: string,
    { status, retryAfterMs, cause }: { status?: number; retryAfterMs?: number; cause?: unknown } = {},
  ) {
    super(message, cause === undefined ? undefined : { cause });
    this.code = code;
    this.status = status;
    this.retryAfterMs = retryAfterMs;
  }

  /** Another attempt may go better: the server is busy or away, or the credential was not good enough. */
  get isTransient(): boolean {
    const { status } = this;
    if (status === undefined) return this.code !== 'user-changed' && this.code !== 'closed';
    return status >= 500 || [401, 404, 408, 425, 429].includes(status);
  }
}

/** Whatever was thrown, as an error of ours. */
export function asBelfryError(error: unknown, code = 'network'): BelfryError {
  if (error instanceof BelfryError) return error;
  const message = error instanceof Error ? error.message : String(error);
  return new BelfryError(code, message, { cause: error });
}

/** What an answer that says no says: problem details (RFC 9457) where there are some. */
export async function refusal(response: Response): Promise<BelfryError> {
  const problem = await problemOf(response);
  const retryAfterMs = readRetryAfter(response.headers.get('retry-after'));
  return new BelfryError(
    problem.code ?? 'status',
    problem.detail ?? problem.title ?? `The server answered ${response.status}.`,
    { status: response.status, ...(retryAfterMs === undefined ? {} : { retryAfterMs }) },
  );
}

interface Problem {
  code?: string;
  title?: string;
  detail?: string;
}

async function problemOf(response: Response): Promise<Problem> {
  try {
    const body: unknown = /json/.test(response.headers.get('content-type') ?? '')
      ? await response.json()
      : // Read to nobody, so that the connection can be used again.
        await response.body?.cancel();
    return typeof body === 'object' && body !== null ? body : {};
  } catch {
    // The status says enough.
    return {};
  }
}

/** @param value seconds or a date (RFC 9110, section 10.2.3) */
function readRetryAfter(value: string | null): number | undefined {
  if (value === null) return undefined;
  const ms = /^\d+$/.test(value) ? Number(value) * 1_000 : Date.parse(value) - Date.now();
  return Number.isNaN(ms) ? undefined : Math.max(0, ms);
}
