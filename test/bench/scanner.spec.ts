import { describe, expect, it } from '@jest/globals';
import { payload } from '../../bench/generator/payload.js';
import { Scanner } from '../../bench/generator/scanner.js';

const COUNT = 30;
const FRAMES = Array.from(
  { length: COUNT },
  (_, n) => `id: x.${n + 1}\nevent: tick\ndata: {"topic":"a:b","data":${payload(n + 1)}}\n\n`,
);
const BODY = `retry: 1000\n\nid: x.0\nevent: ready\ndata: {}\n\n${FRAMES.join('')}`;

function response(chunkSize: number | undefined): string {
  if (chunkSize === undefined) return `HTTP/1.1 200 OK\r\n\r\n${BODY}`;
  let text = 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n';
  for (let at = 0; at < BODY.length; at += chunkSize) {
    const chunk = BODY.slice(at, at + chunkSize);
    text += `${chunk.length.toString(16)}\r\n${chunk}\r\n`;
  }
  return `${text}0\r\n\r\n`;
}

describe('the reader of streams that the bench measures with', () => {
  const sizes = [1, 2, 7, 13, 64, 200, 100_000];
  it.each([undefined, ...sizes])(
    'finds every event once, wherever reads and chunks of %s bytes cut it',
    chunkSize => {
      const bytes = Buffer.from(response(chunkSize));
      for (const readSize of sizes) {
        const counters: number[] = [];
        const found = { heads: 0, watched: 0, ends: 0 };
        const scanner = new Scanner(
          {
            onHead: () => found.heads++,
            onCounter: counter => counters.push(counter),
            onWatched: () => found.watched++,
            onEnd: () => found.ends++,
          },
          Buffer.from(': ready\n'),
        );
        // As a socket does it: one buffer for all reads.
        const buffer = Buffer.alloc(bytes.length);
        for (let at = 0; at < bytes.length; at += readSize) {
          scanner.take(buffer, bytes.copy(buffer, 0, at, at + readSize));
        }
        expect(counters).toEqual(Array.from({ length: COUNT }, (_, n) => n + 1));
        expect(found).toEqual({ heads: 1, watched: 1, ends: chunkSize === undefined ? 0 : 1 });
      }
    },
  );
});
