import { isTopic, kindOf } from './topic.js';
import type { LogEvent } from './event.js';

/** What a subscriber wants to hear: some topics and wildcards of its tenant, perhaps of some types only. */
export class TopicFilter {
  /** Exact topics, each once. */
  readonly topics: readonly string[];
  /** `kind:` of each `kind:*`. */
  readonly prefixes: readonly string[];
  /** True for `*`. */
  readonly everything: boolean;
  /** Null: events of any type. */
  readonly types: readonly string[] | null;
  /** True when there is no wildcard. */
  readonly exact: boolean;

  private readonly topicSet: ReadonlySet<string>;
  private readonly kindSet: ReadonlySet<string>;
  private readonly typeSet: ReadonlySet<string> | undefined;

  /**
   * @param patterns topics, `kind:*` and `*`
   * @param types empty: any type
   */
  constructor(
    readonly patterns: readonly string[],
    types: readonly string[] = [],
  ) {
    this.topicSet = new Set(patterns.filter(isTopic));
    this.topics = [...this.topicSet];
    this.kindSet = new Set(patterns.filter(pattern => pattern.endsWith(':*')).map(kindOf));
    this.prefixes = [...this.kindSet].map(kind => `${kind}:`);
    this.everything = patterns.includes('*');
    this.exact = !this.everything && this.kindSet.size === 0;
    this.typeSet = types.length > 0 ? new Set(types) : undefined;
    this.types = this.typeSet ? [...this.typeSet] : null;
  }

  get kinds(): Iterable<string> {
    return this.kindSet;
  }

  passesTopic(topic: string): boolean {
    return this.everything || this.topicSet.has(topic) || this.kindSet.has(kindOf(topic));
  }

  passesType(type: string): boolean {
    return this.typeSet === undefined || this.typeSet.has(type);
  }

  /** @param event of the subscriber's own tenant */
  passes(event: Pick<LogEvent, 'topic' | 'type'>): boolean {
    return this.passesTopic(event.topic) && this.passesType(event.type);
  }
}
