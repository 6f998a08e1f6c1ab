export { BelfryError } from './belfry.error.js';
export { connect } from './connect.js';
export type { Connection, ControlEvents, Handler } from './connection.js';
export type { Ticket, Token } from './credential.js';
export { compareCursors } from './cursor.js';
export { type CursorStorage, cursorIn } from './cursor.storage.js';
export type {
  BelfryEvent,
  BelfryEvents,
  CountsAsOf,
  End,
  InboxUpdate,
  NotificationData,
  Ready,
  Reset,
} from './event.js';
export * from './inbox.js';
export type { ConnectOptions } from './options.js';
export type { ConnectionState } from './source.js';
