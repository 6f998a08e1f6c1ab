import { Injectable, type OnModuleInit } from '@nestjs/common';
import { kindOf } from '../log/topic.js';
import type { TopicFilter } from '../log/topic.filter.js';
import type { FramedEvent } from '../tail/frame.js';
import { Tail } from '../tail/tail.js';
import { Bundle } from './bundle.js';

/** Who is told of each event as it is taken from the log. */
export interface Listener {
  readonly tenant: string;
  readonly filter: TopicFilter;
  /** The events of one batch that pass the filter, and the seq before the batch. Called once per batch. */
  deliver(bundle: Bundle, before: number): void;
  /** Events after this seq were never taken: the log has to say what became of them. */
  interrupt(before: number): void;
}

class TenantRoutes {
  readonly topics = new Map<string, Set<Listener>>();
  readonly kinds = new Map<string, Set<Listener>>();
  readonly everything = new Set<Listener>();
}

/** Brings each batch of the tail to the live listeners that want some of it. */
@Injectable()
export class Router implements OnModuleInit {
  private readonly tenants = new Map<string, TenantRoutes>();
  private readonly listeners = new Set<Listener>();

  constructor(private readonly tail: Tail) {}

  onModuleInit(): void {
    this.tail.taken.subscribe(batch => {
      this.route(batch);
    });
    this.tail.gap.subscribe(before => {
      for (const listener of [...this.listeners]) listener.interrupt(before);
    });
  }

  add(listener: Listener): void {
    this.listeners.add(listener);
    let routes = this.tenants.get(listener.tenant);
    if (!routes) this.tenants.set(listener.tenant, (routes = new TenantRoutes()));
    const { topics, kinds, everything } = listener.filter;
    if (everything) routes.everything.add(listener);
    for (const topic of topics) join(routes.topics, topic, listener);
    for (const kind of kinds) join(routes.kinds, kind, listener);
  }

  remove(listener: Listener): void {
    const routes = this.tenants.get(listener.tenant);
    if (!this.listeners.delete(listener) || !routes) return;
    routes.everything.delete(listener);
    for (const topic of listener.filter.topics) leave(routes.topics, topic, listener);
    for (const kind of listener.filter.kinds) leave(routes.kinds, kind, listener);
    if (routes.everything.size + routes.topics.size + routes.kinds.size === 0)
      this.tenants.delete(listener.tenant);
  }

  private route(batch: readonly FramedEvent[]): void {
    const [first] = batch;
    if (!first || this.listeners.size === 0) return;
    const empty = Bundle.empty();
    const wanted = new Map<Listener, Bundle>();
    for (const event of batch) {
      const routes = this.tenants.get(event.tenant);
      if (!routes) continue;
      collect(routes.topics.get(event.topic), event);
      collect(routes.kinds.get(kindOf(event.topic)), event);
      collect(routes.everything, event);
    }
    for (const [listener, bundle] of wanted) listener.deliver(bundle, first.seq - 1);

    function collect(listeners: ReadonlySet<Listener> | undefined, event: FramedEvent): void {
      if (!listeners) return;
      for (const listener of listeners) {
        if (!listener.filter.passesType(event.type)) continue;
        const bundle = wanted.get(listener) ?? empty;
        // A topic and a wildcard may both lead to the same listener.
        if (bundle.event !== event) wanted.set(listener, bundle.with(event));
      }
    }
  }
}

function join(routes: Map<string, Set<Listener>>, name: string, listener: Listener): void {
  const listeners = routes.get(name);
  if (listeners) listeners.add(listener);
  else routes.set(name, new Set([listener]));
}

function leave(routes: Map<string, Set<Listener>>, name: string, listener: Listener): void {
  const listeners = routes.get(name);
  if (listeners?.delete(listener) && listeners.size === 0) routes.delete(name);
}
