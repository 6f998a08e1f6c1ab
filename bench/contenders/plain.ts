import type { Contender } from '../contender.js';
import { byLines } from './by.lines.js';

/** Node's HTTP server and nothing else (servers/plain.ts): the ceiling. */
export const plain: Contender = {
  name: 'plain',
  find: () => ({ version: `node ${process.version}` }),
  async start(stage) {
    const { child, port } = await stage.server('plain');
    return {
      children: [child],
      streams: [{ port, path: '/stream', ready: 'retry: 1000' }],
      publish: byLines(port),
    };
  },
};
