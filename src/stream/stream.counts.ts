/** How many streams each user has, by tenant. */
export class StreamCounts {
  private readonly tenants = new Map<string, Map<string, number>>();

  /** @param told what `toJson` of each instance gave; what is not of that form counts for nothing */
  static sumOf(told: readonly unknown[]): StreamCounts {
    const sum = new StreamCounts();
    for (const tenants of told) {
      for (const [tenant, users] of entriesOf(tenants)) {
        for (const [user, count] of entriesOf(users)) {
          if (typeof count === 'number') sum.add(tenant, user, count);
        }
      }
    }
    return sum;
  }

  of(tenant: string, sub: string): number {
    return this.tenants.get(tenant)?.get(sub) ?? 0;
  }

  /** Whoever has none is forgotten. */
  add(tenant: string, sub: string, change: number): void {
    let users = this.tenants.get(tenant);
    if (!users) this.tenants.set(tenant, (users = new Map<string, number>()));
    const count = (users.get(sub) ?? 0) + change;
    if (count > 0) {
      users.set(sub, count);
      return;
    }
    users.delete(sub);
    if (users.size === 0) this.tenants.delete(tenant);
  }

  /** `{tenant: {sub: n}}` of the users who have at least so many. */
  toJson(least: number): string {
    const told: [string, object][] = [];
    for (const [tenant, users] of this.tenants) {
      const many = [...users].filter(([, count]) => count >= least);
      if (many.length > 0) told.push([tenant, Object.fromEntries(many)]);
    }
    return JSON.stringify(Object.fromEntries(told));
  }
}

function entriesOf(value: unknown): [string, unknown][] {
  return typeof value === 'object' && value !== null ? Object.entries(value) : [];
}
