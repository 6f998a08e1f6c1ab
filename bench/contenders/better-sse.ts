import type { Contender } from '../contender.js';
import { installed } from './installed.js';
import { byLines } from './by.lines.js';

/** The npm package better-sse (servers/better-sse.ts). */
export const betterSse: Contender = {
  name: 'better-sse',
  find: () => installed('better-sse'),
  async start(stage) {
    const { child, port } = await stage.server('better-sse');
    return { children: [child], streams: [{ port, path: '/stream' }], publish: byLines(port) };
  },
};
