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

/** The way to a listener, and what of the batch under way is to go there. */
class Route {
  bundle: Bundle | undefined;

  constructor(readonly listener: Listener) {}
}

class TenantRoutes {
  readonly topics = new Map<string, Set<Route>>();
  readonly kinds = new Map<string, Set<Route>>();
  readonly everything = new Set<Route>();
}

/** Brings each batch of the tail to the live listeners that want some of it. */
@Injectable()
export class Router implements OnModuleInit {
  private readonly tenants = new Map<string, TenantRoutes>();
  private readonly routes = new Map<Listener, Route>();

  constructor(private readonly tail: Tail) {}

  onModuleInit(): void {
    this.tail.taken.subscribe(batch => {
      this.route(batch);
    });
    this.tail.gap.subscribe(before => {
      for (const listener of [...this.routes.keys()]) listener.interrupt(before);
    });
  }

  add(listener: Listener): void {
    const route = new Route(listener);
    this.routes.set(listener, route);
    let tenant = this.tenants.get(listener.tenant);
    if (!tenant) this.tenants.set(listener.tenant, (tenant = new TenantRoutes()));
    const { topics, kinds, everything } = listener.filter;
    if (everything) tenant.everything.add(route);
    for (const topic of topics) join(tenant.topics, topic, route);
    for (const kind of kinds) join(tenant.kinds, kind, route);
  }

  remove(listener: Listener): void {
    const route = this.routes.get(listener);
    const tenant = this.tenants.get(listener.tenant);
    if (!route || !tenant) return;
    this.routes.delete(listener);
    tenant.everything.delete(route);
    for (const topic of listener.filter.topics) leave(tenant.topics, topic, route);
    for (const kind of listener.filter.kinds) leave(tenant.kinds, kind, route);
    if (tenant.everything.size + tenant.topics.size + tenant.kinds.size === 0)
      this.tenants.delete(listener.tenant);
  }

  private route(batch: readonly FramedEvent[]): void {
    const [first] = batch;
    if (!first || this.routes.size === 0) return;
    const empty = Bundle.empty();
    const wanted: Route[] = [];
    for (const event of batch) {
      const tenant = this.tenants.get(event.tenant);
      if (!tenant) continue;
      collect(tenant.topics.get(event.topic), event);
      collect(tenant.kinds.get(kindOf(event.topic)), event);
      collect(tenant.everything, event);
    }
    for (const route of wanted) {
      const { bundle } = route;
      route.bundle = undefined;
      if (bundle) route.listener.deliver(bundle, first.seq - 1);
    }

    function collect(routes: ReadonlySet<Route> | undefined, event: FramedEvent): void {
      if (!routes) return;
      for (const route of routes) {
        if (!route.listener.filter.passesType(event.type)) continue;
        if (!route.bundle) wanted.push(route);
        // A topic and a wildcard may both lead to the same listener.
        if (route.bundle?.event !== event) route.bundle = (route.bundle ?? empty).with(event);
      }
    }
  }
}

function join(routes: Map<string, Set<Route>>, name: string, route: Route): void {
  const set = routes.get(name);
  if (set) set.add(route);
  else routes.set(name, new Set([route]));
}

function leave(routes: Map<string, Set<Route>>, name: string, route: Route): void {
  const set = routes.get(name);
  if (set?.delete(route) && set.size === 0) routes.delete(name);
}
