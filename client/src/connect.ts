import { Connection } from './connection.js';
import { Credential } from './credential.js';
import type { BelfryEvents } from './event.js';
import { NativeStream } from './native.stream.js';
import { type ConnectOptions, settle } from './options.js';
import { openStream } from './stream.choice.js';

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
  const settings = settle(options);
  const credential = new Credential(options.token);
  return new Connection(settings, sink =>
    settings.transport === 'eventsource'
      ? new NativeStream(settings, sink)
      : openStream(settings, credential, sink),
  );
}
