import type { Contender } from '../contender.js';
import { installed } from './installed.js';
import { byLines } from './by.lines.js';

/** Nest's own `@Sse()` with objects as data (servers/nest-sse.ts). */
export const nestSse: Contender = {
  name: 'nest-sse',
  find: () => installed('@nestjs/core'),
  async start(stage) {
    const { child, port } = await stage.server('nest-sse');
    return { children: [child], streams: [{ port, path: '/stream' }], publish: byLines(port) };
  },
};
