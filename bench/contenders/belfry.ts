import { readFileSync } from 'node:fs';
import { ROOT } from '../build.js';
import type { Contender } from '../contender.js';

const TOPIC = 'bench:all';

/** The service itself: everything is stored before it is sent. */
export const belfry: Contender = {
  name: 'belfry',
  find() {
    const { version } = JSON.parse(readFileSync(new URL('package.json', ROOT), 'utf8')) as {
      version: string;
    };
    return { version };
  },
  async start(stage) {
    const service = await stage.belfry();
    return {
      children: [service.child],
      streams: [await service.stream(TOPIC)],
      publish: await service.publishing(TOPIC),
    };
  },
};
