/** The polls, the heartbeat of the doorbell, what instances tell each other, what is due and what drops the old. */
const BACKGROUND =
  /log_head\(\) as head,\s+\(extract|pg_notify|belfry\.(instances|revocations|drain\(|prune|trim_log|delete_expired|outbox_rejected|deliver_due|prune_inbox)/;

/** The statements that a spy on `pg.Client.prototype.query` saw, but for those that every instance makes all the time. */
export function asked(query: {
  readonly mock: { readonly calls: readonly (readonly unknown[])[] };
}): string[] {
  return query.mock.calls
    .map(([what]) => (typeof what === 'string' ? what : (what as { text: string }).text))
    .filter(text => !BACKGROUND.test(text));
}
