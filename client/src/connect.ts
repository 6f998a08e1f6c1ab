import { Connection } from './connection.js';
import { Credential } from './credential.js';
import type { BelfryEvents } from './event.js';
import { NativeStream } from './native.stream.js';
import { type ConnectOptions, type Settings, settle } from './options.js';
import { canShare } from './share.channel.js';
import { SharedStream } from './shared.stream.js';
import type { Sink, Source } from './source.js';
import { Stream } from './stream.js';

/**
 * Opens a stream and keeps it open until it is closed.
 *
 *     const connection = connect({ url: 'https://belfry.example.com', token: () => fetchToken() });
 *     connection.on('invoice.paid', event => show(event.data));
 *
 * It returns at once; handlers that are added in the same turn miss nothing.
 *
 * @typeParam E data of events by type
 * @throws TypeError when the options cannot be
 */
export function connect<E extends object = BelfryEvents>(options: ConnectOptions): Connection<E> {
  return connectAs(options, new Credential(options.token));
}

/** The same with a credential that others use as well. */
export function connectAs<E extends object = BelfryEvents>(
  options: ConnectOptions,
  credential: Credential,
): Connection<E> {
  const settings = settle(options);
  return new Connection(settings, sink =>
    settings.shared && canShare()
      ? new SharedStream(settings, credential, sink)
      : ownStream(settings, credential, sink),
  );
}

function ownStream(settings: Settings, credential: Credential, sink: Sink): Source {
  return settings.transport === 'eventsource'
    ? new NativeStream(settings, sink)
    : new Stream(settings, credential, sink);
}
