import type { LogEvent } from './event.js';

/**
 * The event as JSON, in one line, with its data as the very text that was published.
 *
 * @param id first member, when given
 */
export function toJson({ topic, type, at, data, key }: LogEvent, id?: string): string {
  const idMember = id === undefined ? '' : `"id":"${id}",`;
  const keyMember = key === null ? '' : `,"key":${JSON.stringify(key)}`;
  return `{${idMember}"topic":"${topic}","type":${JSON.stringify(type)},"at":"${new Date(at).toISOString()}","data":${data}${keyMember}}`;
}
