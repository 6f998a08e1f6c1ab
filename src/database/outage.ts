import pg from 'pg';

/**
 * True for errors of classes 08, 53, 57 and 58 (connection, resources, operator, system: Postgres manual, appendix
 * A), and for whatever else pg throws: what is not Postgres' own answer is about the way there.
 */
export function isOutage(error: unknown): boolean {
  return !(error instanceof pg.DatabaseError) || /^(08|53|57|58)/.test(error.code ?? '');
}
