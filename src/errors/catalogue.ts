/** One kind of error: its HTTP status, a title that never changes, and what its caller can do about it. */
interface Entry {
  readonly status: number;
  readonly title: string;
  readonly detail: string;
  /** Sent as Retry-After unless the place that raised the error knows better. */
  readonly retryAfterSeconds?: number;
}

/**
 * Every error a client can meet, by its stable code. `docs/errors.md` lists the same codes; a test ties the two.
 * The detail is what a client reads when the place that raised the error had nothing more exact to say.
 */
export const CATALOGUE = {
  'token-missing': {
    status: 401,
    title: 'No credential',
    detail: 'Send a JWT or an API key as "Authorization: Bearer …", or a JWT in the cookie belfry_token.',
  },
  'token-invalid': {
    status: 401,
    title: 'Token not accepted',
    detail:
      'Send a JWT that is signed with the key, for the issuer and audience this service is configured with.',
  },
  'token-expired': {
    status: 401,
    title: 'Token expired',
    detail: 'Get a new token and try again: the "exp" of this one has passed.',
  },
  'token-revoked': {
    status: 401,
    title: 'Token revoked',
    detail: 'Sign in again: what this token allowed was taken back after it was issued.',
  },
  'token-claims': {
    status: 401,
    title: 'Token claims not usable',
    detail: 'Issue tokens with "sub" and "exp", and "tenant", "roles", "topics" and "scope" as documented.',
  },
  'key-invalid': {
    status: 401,
    title: 'API key not accepted',
    detail: 'Send an API key that was made here, whole, as "Authorization: Bearer bk_<id>_<secret>".',
  },
  'key-expired': {
    status: 401,
    title: 'API key expired',
    detail: 'Make a new API key: this one has expired.',
  },
  'key-revoked': {
    status: 401,
    title: 'API key revoked',
    detail: 'Make a new API key: this one was revoked.',
  },
  'ticket-invalid': {
    status: 401,
    title: 'Not a ticket',
    detail:
      'Get a ticket from POST /v1/tickets and send it whole, in the query parameter "ticket" of a stream.',
  },
  'ticket-spent': {
    status: 401,
    title: 'Ticket spent',
    detail: 'Get a new ticket from POST /v1/tickets: each opens one stream, and soon.',
  },
  'scope-missing': {
    status: 403,
    title: 'Scope missing',
    detail: 'Use a credential that carries the scope this request needs.',
  },
  'topic-forbidden': {
    status: 403,
    title: 'Topic not granted',
    detail: 'Ask only for topics that the credential grants, or issue one that grants this topic.',
  },
  'tenant-forbidden': {
    status: 403,
    title: 'Another tenant',
    detail: 'Leave out "tenant", or give that of the credential: nothing is done in another one.',
  },
  'topic-invalid': {
    status: 400,
    title: 'Not a topic',
    detail: 'Write topics as kind:id, such as user:42, or "all".',
  },
  'topics-too-many': {
    status: 400,
    title: 'Too many topics',
    detail: 'Ask for fewer topics, or for a whole kind with kind:*.',
  },
  'event-invalid': {
    status: 400,
    title: 'Not an event',
    detail: 'Send events as {"topic", "type", "data", "key"?, "expiresAt"?, "dedupeId"?}.',
  },
  'notification-invalid': {
    status: 400,
    title: 'Not a notification',
    detail:
      'Send notifications as {"to", "type", "title", "body"?, "url"?, "icon"?, "data"?, "key"?, "priority"?, "expiresAt"?, "deliverAt"?, "dedupeId"?}.',
  },
  'notification-unknown': {
    status: 404,
    title: 'No such notification',
    detail:
      'Give the id of a notification as the inbox or the answer to its publisher has it; it may have been taken back.',
  },
  'inbox-missing': {
    status: 403,
    title: 'No inbox',
    detail: 'Use the token of a user: an API key has no inbox.',
  },
  'cursor-unknown': {
    status: 400,
    title: 'Unknown place',
    detail:
      'Give a cursor that this service gave out, such as the id of an item; read the inbox again to get one.',
  },
  'types-too-many': {
    status: 409,
    title: 'Too many marks',
    detail: 'Mark everything, without "type": marks of 100 types are kept apart already.',
  },
  'type-reserved': {
    status: 400,
    title: 'Event type reserved',
    detail: 'Choose another type: this one belongs to the service itself.',
  },
  'type-invalid': {
    status: 400,
    title: 'Not an event type',
    detail: 'Use a short type such as invoice.paid.',
  },
  'data-too-large': {
    status: 413,
    title: 'Event data too large',
    detail: 'Send at most 64 KiB of data per event (MAX_DATA_BYTES); publish a reference to what is larger.',
  },
  'data-invalid': {
    status: 400,
    title: 'Event data not accepted',
    detail: 'Send data that is JSON, at most 64 levels deep and without NUL characters.',
  },
  'events-too-many': {
    status: 413,
    title: 'Too many events',
    detail: 'Send at most 1,000 events per request, or stream them as application/x-ndjson.',
  },
  'json-invalid': { status: 400, title: 'Not JSON', detail: 'Send a body that is valid JSON.' },
  'line-invalid': {
    status: 400,
    title: 'Line not accepted',
    detail:
      'Mend the line named by "line" and send it and those after it again: the lines before it are stored.',
  },
  'line-too-long': {
    status: 413,
    title: 'Line too long',
    detail:
      'Shorten the line named by "line" and send it and those after it again: the lines before it are stored.',
  },
  'body-too-large': {
    status: 413,
    title: 'Body too large',
    detail: 'Split the request, or stream events as application/x-ndjson.',
  },
  'body-invalid': {
    status: 400,
    title: 'Body not accepted',
    detail: 'Send the body in UTF-8 and in the shape that the API documentation gives for this route.',
  },
  'media-type-unsupported': {
    status: 415,
    title: 'Media type not supported',
    detail: 'Send the body as Content-Type: application/json, in UTF-8.',
  },
  'query-invalid': {
    status: 400,
    title: 'Query parameter not accepted',
    detail: 'Correct the query parameter that the detail names.',
  },
  'limit-invalid': {
    status: 400,
    title: 'Limit out of range',
    detail: 'Use a whole number within the range that the API documentation gives.',
  },
  'idempotency-key-invalid': {
    status: 400,
    title: 'Idempotency key not accepted',
    detail: 'Use a shorter key of printable ASCII characters, such as a UUID.',
  },
  'idempotency-mismatch': {
    status: 422,
    title: 'Idempotency key used before',
    detail: 'Use a new key: this one was used with another body.',
  },
  'rate-limited': {
    status: 429,
    title: 'Too many requests',
    detail: 'Try again after the time in Retry-After, and less often.',
  },
  'connections-too-many': {
    status: 429,
    title: 'Too many streams and waiting reads',
    detail: 'Close a stream, or read without "wait", and try again after the time in Retry-After.',
  },
  'body-timeout': {
    status: 408,
    title: 'Body not sent in time',
    detail: 'Send the whole body at once, or stream events as application/x-ndjson.',
  },
  'issuer-unavailable': {
    status: 503,
    title: 'Keys of the issuer not available',
    detail: 'Try again after the time in Retry-After: the token could not be checked.',
    retryAfterSeconds: 5,
  },
  'database-unavailable': {
    status: 503,
    title: 'Database not available',
    detail: 'Try again after the time in Retry-After: nothing of this request was stored.',
    retryAfterSeconds: 2,
  },
  'outcome-unknown': {
    status: 503,
    title: 'Outcome unknown',
    detail: 'Try again with the same idempotency key: the request may have been stored.',
    retryAfterSeconds: 2,
  },
  'queue-full': {
    status: 503,
    title: 'Too many publishes waiting',
    detail: 'Try again after the time in Retry-After: nothing of this request was stored.',
    retryAfterSeconds: 1,
  },
  'instance-full': {
    status: 503,
    title: 'No room for another connection',
    detail: 'Try again after the time in Retry-After, or read without "wait".',
  },
  'shutting-down': {
    status: 503,
    title: 'Shutting down',
    detail: 'Try again: another instance will answer.',
    retryAfterSeconds: 1,
  },
  'host-forbidden': {
    status: 403,
    title: 'Only from this machine',
    detail:
      'Demo mode answers only direct requests to localhost: set DATABASE_URL and JWT_SECRET to leave demo mode.',
  },
  'origin-forbidden': {
    status: 403,
    title: 'Origin not allowed',
    detail: 'Send the token in the Authorization header, or add the Origin of the page to CORS_ORIGINS.',
  },
  forbidden: { status: 403, title: 'Forbidden', detail: 'Use a credential that allows this request.' },
  'not-found': {
    status: 404,
    title: 'Not found',
    detail: 'Check the method and the path: the API documentation is at /docs.',
  },
  'method-not-allowed': {
    status: 405,
    title: 'Method not allowed',
    detail: 'Use a method that the API documentation gives for this path.',
  },
  'request-invalid': {
    status: 400,
    title: 'Request not understood',
    detail: 'Correct the request: it is not well-formed HTTP, or its URL is not well-formed.',
  },
  internal: {
    status: 500,
    title: 'Internal error',
    detail: 'Try again; if it persists, give the operator the request id in "instance".',
  },
} as const satisfies Record<string, Entry>;

export type ProblemCode = keyof typeof CATALOGUE;

/** The entry of a code, with the members that only some of them have. */
export function entryOf(code: ProblemCode): Entry {
  return CATALOGUE[code];
}

/** The code of an error that only came with an HTTP status, from Express or Nest itself. */
export function codeOf(status: number): ProblemCode {
  switch (status) {
    case 401:
      return 'token-invalid';
    case 403:
      return 'forbidden';
    case 404:
      return 'not-found';
    case 405:
      return 'method-not-allowed';
    case 413:
      return 'body-too-large';
    case 415:
      return 'media-type-unsupported';
    default:
      return status >= 400 && status < 500 ? 'request-invalid' : 'internal';
  }
}
