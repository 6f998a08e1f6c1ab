import { Inject, Injectable } from '@nestjs/common';
import type { Caller } from '../access/caller.js';
import { CONFIG, type Config } from '../config/config.js';
import { UserStreams } from './user.streams.js';

/** Why there is no room; also the code of the answer, where that is JSON. */
type NoRoom = 'instance-full' | 'connections-too-many';

/** What counts towards `MAX_CONNECTIONS` and `MAX_CONNECTIONS_PER_USER`: open streams, and reads that wait. */
@Injectable()
export class Connections {
  private count = 0;

  constructor(
    private readonly users: UserStreams,
    @Inject(CONFIG) private readonly config: Config,
  ) {}

  /** Counts one more, to be taken back by `leave`. @returns why there is no room, when there is none */
  enter(caller: Caller): NoRoom | undefined {
    if (this.count >= this.config.maxConnections) return 'instance-full';
    if (!this.users.enter(caller)) return 'connections-too-many';
    this.count++;
    return undefined;
  }

  /** To be called once for each that entered. */
  leave(caller: Caller): void {
    this.count--;
    this.users.leave(caller);
  }
}
