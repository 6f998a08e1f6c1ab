import { endpoint } from './address.js';
import type { Settings } from './options.js';

/** Longer addresses than this, in characters, are cut off or refused by something or other on the way. */
const LONGEST_URL = 6_000;

/** @param more parameters of this one connection */
export function streamUrl(
  settings: Pick<Settings, 'url' | 'topics' | 'types' | 'collapse'>,
  more: Readonly<Record<string, string | undefined>>,
): URL {
  const url = endpoint(settings.url, 'v1/stream');
  for (const topic of settings.topics ?? []) url.searchParams.append('topic', topic);
  for (const type of settings.types ?? []) url.searchParams.append('type', type);
  if (!settings.collapse) url.searchParams.set('collapse', 'false');
  for (const [name, value] of Object.entries(more)) {
    if (value !== undefined) url.searchParams.set(name, value);
  }
  return url;
}

/** The request for a stream from a cursor on, by GET where that can be; a ticket is good for GET alone. */
export function streamRequest(
  settings: Settings,
  {
    cursor,
    token,
    ticket,
    signal,
  }: {
    cursor: string | undefined;
    token: string | undefined;
    ticket: string | undefined;
    signal: AbortSignal;
  },
): [URL, RequestInit] {
  const headers = {
    accept: 'text/event-stream',
    ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
  };
  const init: RequestInit = {
    headers,
    // A stream out of a cache would be somebody's past.
    cache: 'no-store',
    credentials: settings.credentials ?? 'same-origin',
    signal,
  };
  // In the query, since the header Last-Event-ID would need a preflight.
  const url = streamUrl(settings, { lastEventId: cursor, ticket });
  if (url.href.length <= LONGEST_URL || ticket !== undefined) return [url, init];
  const { topics = [], types = [], collapse } = settings;
  return [
    endpoint(settings.url, 'v1/stream'),
    {
      ...init,
      method: 'POST',
      headers: { ...headers, 'content-type': 'application/json' },
      body: JSON.stringify({ topics, types, collapse, lastEventId: cursor }),
    },
  ];
}
