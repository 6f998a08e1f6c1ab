import { Connection } from './connection.js';
import type { Credential } from './credential.js';
import type { BelfryEvent, InboxUpdate, NotificationData } from './event.js';
import type { InboxOptions } from './inbox.options.js';
import { settle } from './options.js';
import { openStream } from './stream.choice.js';

const TYPES = ['notification.created', 'notification.retracted', 'inbox.updated'];

/** What the stream says of an inbox. */
export type Heard =
  | { readonly type: 'notification.created'; readonly event: BelfryEvent<NotificationData> }
  | { readonly type: 'notification.retracted'; readonly event: BelfryEvent<{ readonly id: string }> }
  | { readonly type: 'inbox.updated'; readonly event: BelfryEvent<InboxUpdate> };

/** The stream of an inbox, from the cursor of its list on. */
export function openFeed(
  options: InboxOptions,
  credential: Credential,
  lastEventId: string,
  hear: (heard: Heard) => void,
): Connection {
  const { url, token, credentials, shared = true, user, heartbeat, backoff, maxBackoff, fetch } = options;
  const settings = settle({
    ...{ url, credentials, shared, user, heartbeat, backoff, maxBackoff },
    ...(token === undefined ? {} : { token }),
    ...(fetch ? { fetch } : {}),
    types: TYPES,
    lastEventId,
  });
  const connection = new Connection(settings, sink => openStream(settings, credential, sink));
  connection.on('notification.created', event => {
    hear({ type: 'notification.created', event });
  });
  connection.on('notification.retracted', event => {
    hear({ type: 'notification.retracted', event });
  });
  connection.on('inbox.updated', event => {
    hear({ type: 'inbox.updated', event });
  });
  return connection;
}
