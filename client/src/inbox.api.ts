import { abortable } from './abortable.js';
import { endpoint } from './address.js';
import { asBelfryError, BelfryError, refusal } from './belfry.error.js';
import { type Credential, userOf } from './credential.js';
import type { CountsAsOf } from './event.js';
import type { InboxOptions } from './inbox.options.js';
import type { InboxFilter } from './inbox.state.js';
import type { Marks, NotificationItem } from './notification.js';
import type { Preferences } from './preferences.js';
import { Timer } from './timer.js';

/** A notification as the server tells it. */
export type ServerItem = NotificationItem & {
  /** Of several with one topic and key a newer one takes the place of an unread older one. */
  readonly key?: string | null;
};

/** One page of a list, and the cursor of the snapshot that it is of. */
export interface InboxPage {
  readonly items: readonly ServerItem[];
  readonly counts: CountsAsOf;
  readonly cursor: string;
  readonly more: boolean;
}

/** Marks for all up to a cursor. */
export interface MarkAll {
  readonly read?: true;
  readonly seen?: true;
  readonly archived?: true;
  readonly upTo?: string;
}

/** The inbox of one user, over HTTP. */
export class InboxApi {
  constructor(
    private readonly options: InboxOptions,
    private readonly credential: Credential,
  ) {}

  async list(filter: InboxFilter, before: string | undefined, limit: number, signal: AbortSignal) {
    const query = new URLSearchParams({ limit: `${limit}` });
    if (filter !== 'inbox') query.set('status', filter);
    if (before !== undefined) query.set('before', before);
    return this.send<InboxPage>('GET', `v1/inbox?${query}`, signal);
  }

  /** Marks are sent to their end: they were shown already when the page lost its interest. */
  async patch(id: string, marks: Marks) {
    const path = `v1/inbox/${encodeURIComponent(id)}`;
    return this.send<ServerItem & { readonly counts: CountsAsOf }>('PATCH', path, undefined, marks);
  }

  async markAll(marks: MarkAll) {
    return this.send<{ readonly counts: CountsAsOf }>('POST', 'v1/inbox/mark', undefined, marks);
  }

  async preferences(signal: AbortSignal) {
    return this.send<Preferences>('GET', 'v1/inbox/preferences', signal);
  }

  async setPreferences(preferences: Preferences, signal: AbortSignal) {
    return this.send<Preferences>('PUT', 'v1/inbox/preferences', signal, preferences);
  }

  /** Once more with another token when this one was refused: it may have been for its time alone. */
  private async send<T>(
    method: string,
    path: string,
    signal = new AbortController().signal,
    body?: object,
  ): Promise<T> {
    const token = await abortable(signal, this.credential.token());
    const user = token === undefined ? undefined : userOf(token);
    // A mark may be on its way still when the next user signs in, and must not become theirs.
    if (user !== undefined) this.credential.bind(user);
    try {
      return await this.sendAs<T>(token, method, path, signal, body);
    } catch (error) {
      const isRefused = error instanceof BelfryError && error.status === 401;
      if (!isRefused || this.credential.isFixed || this.credential.isCookie) throw error;
      await this.credential.drop(token);
      const another = await abortable(signal, this.credential.token());
      return this.sendAs<T>(another, method, path, signal, body);
    }
  }

  private async sendAs<T>(
    token: string | undefined,
    method: string,
    path: string,
    outer: AbortSignal,
    body: object | undefined,
  ): Promise<T> {
    const { url, credentials = 'same-origin', timeout = 15_000, fetch = globalThis.fetch } = this.options;
    const controller = new AbortController();
    const abort = () => {
      controller.abort(outer.reason);
    };
    const timer = new Timer(() => {
      controller.abort(new BelfryError('silent', `${method} took longer than ${timeout} ms.`));
    });
    outer.addEventListener('abort', abort);
    if (timeout > 0) timer.set(timeout);
    try {
      outer.throwIfAborted();
      const answer = fetch(endpoint(url, path), {
        method,
        headers: {
          accept: 'application/json',
          ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
          ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
        cache: 'no-store',
        // A mark reaches the server also when a link is followed next. Not preferences: they may be too long for it.
        keepalive: method === 'PATCH' || method === 'POST',
        credentials,
        signal: controller.signal,
      }).then(response => read<T>(response));
      return await abortable(controller.signal, answer);
    } catch (error) {
      throw asBelfryError(error);
    } finally {
      timer.clear();
      outer.removeEventListener('abort', abort);
    }
  }
}

async function read<T>(response: Response): Promise<T> {
  if (!response.ok) throw await refusal(response);
  try {
    return (await response.json()) as T;
  } catch (error) {
    throw new BelfryError('content-type', 'The answer is no JSON.', { cause: error });
  }
}
