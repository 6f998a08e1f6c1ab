import { z } from 'zod';

import { keyIdOf } from '../access/api.key.js';
import { type ApiKey, ApiKeys } from '../access/api.keys.js';
import { TENANT_NAME } from '../access/claims.js';
import { KEY_REQUEST } from '../access/key.request.js';
import { readCommandConfig, withDatabase } from './cli.database.js';
import { type Command, CommandError, print, readArguments, tell } from './command.js';
import { parseExpiry } from './expiry.js';
import { table } from './table.js';

const USAGE = `API keys, with which backends publish.

  npm run belfry -- keys create --name NAME --scope SCOPE [--tenant TENANT] [--expires WHEN]
  npm run belfry -- keys list [--tenant TENANT]
  npm run belfry -- keys revoke ID

create   makes a key and prints it, once: KEY=$(npm run -s belfry -- keys create …) has it
         --name     what it is for, such as billing
         --scope    publish, inbox, jobs, tickets or admin; several, with spaces or commas, or the option again
         --tenant   default when left out
         --expires  such as 12h, 90d, 8w, 2030-01-31 or 2030-01-31T12:00:00Z; never when left out
list     shows the keys of a tenant, or of all
revoke   takes a key back: by its id, or by the whole key`;

const REQUEST = KEY_REQUEST.omit({ expiresAt: true }).extend({ tenant: TENANT_NAME });
const LIST = z.object({ tenant: TENANT_NAME.optional() });
/** Members of the request, as the command line calls them. */
const OPTIONS: Readonly<Record<string, string>> = { name: '--name', scopes: '--scope', tenant: '--tenant' };

export const keys: Command = {
  summary: 'make, list and revoke API keys',
  async run(args) {
    const [action = '', ...rest] = args;
    if (['--help', '-h', 'help'].includes(action) || rest.includes('--help')) {
      print(USAGE);
      return;
    }
    switch (action) {
      case 'create':
        return create(rest);
      case 'list':
        return list(rest);
      case 'revoke':
        return revoke(rest);
      default:
        throw new CommandError('Say what to do with keys: create, list or revoke; keys --help tells more.');
    }
  },
};

async function create(args: readonly string[]): Promise<void> {
  const { values, positionals } = readArguments(args, {
    name: { type: 'string' },
    tenant: { type: 'string', default: 'default' },
    scope: { type: 'string', multiple: true, default: [] },
    expires: { type: 'string' },
  });
  refuseWords(positionals);
  const scopes = values.scope.flatMap(scope => scope.split(/[\s,]+/)).filter(scope => scope !== '');
  const asked = REQUEST.safeParse({ name: values.name, scopes, tenant: values.tenant });
  if (!asked.success) throw explain(asked.error);
  const expiresAt = values.expires === undefined ? null : parseExpiry(values.expires, '--expires');

  const made = await withKeys(store => store.create({ ...asked.data, expiresAt }));
  const expiry = made.expiresAt === null ? 'does not expire' : `expires at ${shown(made.expiresAt)}`;
  tell(
    `Key ${made.id} "${made.name}" of tenant ${made.tenant} has the scopes ${made.scopes.join(' ')} and ${expiry}.`,
    'Keep it now, it is not shown again:',
  );
  print(made.key);
}

async function list(args: readonly string[]): Promise<void> {
  const { values, positionals } = readArguments(args, { tenant: { type: 'string' } });
  refuseWords(positionals);
  const asked = LIST.safeParse(values);
  if (!asked.success) throw explain(asked.error);

  const found = await withKeys(store => store.list(asked.data.tenant));
  if (found.length === 0) tell('There are no keys: keys create makes one.');
  else print(...table(TITLES, found.map(row)));
}

async function revoke(args: readonly string[]): Promise<void> {
  const { positionals } = readArguments(args, {});
  const [word = ''] = positionals;
  const id = positionals.length === 1 ? keyIdOf(word) : undefined;
  if (id === undefined)
    throw new CommandError('Give one id of 12 characters to revoke, as keys list shows it.');
  const revoked = await withKeys(store => store.revoke(id));
  if (!revoked) throw new CommandError(`There is no key ${id}: keys list shows those there are.`);
  tell(`Key ${id} is revoked.`);
}

async function withKeys<Result>(work: (store: ApiKeys) => Promise<Result>): Promise<Result> {
  return withDatabase(await readCommandConfig(), database => work(new ApiKeys(database)));
}

const TITLES = ['ID', 'NAME', 'TENANT', 'SCOPES', 'CREATED', 'EXPIRES', 'LAST USED', 'STATE'];

function row(key: ApiKey): string[] {
  return [
    key.id,
    key.name,
    key.tenant,
    key.scopes.join(' '),
    shown(key.createdAt),
    key.expiresAt === null ? 'never' : shown(key.expiresAt),
    key.lastUsedAt === null ? 'never' : shown(key.lastUsedAt),
    stateOf(key),
  ];
}

function stateOf({ revokedAt, expiresAt }: ApiKey): string {
  if (revokedAt !== null) return `revoked ${shown(revokedAt)}`;
  return expiresAt !== null && expiresAt.getTime() <= Date.now() ? 'expired' : 'good';
}

/** In UTC, to the minute. */
function shown(time: Date): string {
  return `${time.toISOString().slice(0, 'YYYY-MM-DDThh:mm'.length)}Z`;
}

function refuseWords([word]: readonly string[]): void {
  if (word !== undefined)
    throw new CommandError(`"${word}" belongs to no option: quote what has spaces, or see keys --help.`);
}

function explain({ issues: [issue], message }: z.ZodError): CommandError {
  const option = OPTIONS[String(issue?.path[0])];
  if (issue === undefined || option === undefined) return new CommandError(message);
  return new CommandError(`${option} must be ${issue.message}.`);
}
