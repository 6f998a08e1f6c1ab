import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { CommandError } from '../../src/cli/command.js';
import { keys } from '../../src/cli/keys.command.js';
import { TestDatabase } from '../support/databases.js';
import { Instance } from '../support/instance.js';
import { belfry, keyIn, publishWith } from './running.js';

describe('with DATABASE_URL', () => {
  let database: TestDatabase;
  let env: NodeJS.ProcessEnv;

  beforeAll(async () => {
    database = await TestDatabase.create();
    env = { DATABASE_URL: database.url };
  });
  afterAll(async () => {
    await database.drop();
  });

  const run = (...args: string[]) => belfry(env, 'keys', ...args);

  it('makes a key that a backend can publish with, and needs no secret for it', async () => {
    const ran = await run('create', '--name', 'billing', '--scope', 'publish', '--tenant', 'acme');
    const { key, id } = keyIn(ran);
    expect(ran.stderr).toContain(
      `Key ${id} "billing" of tenant acme has the scopes publish and does not expire.`,
    );
    expect(ran.stderr).not.toContain(key);
    const service = await Instance.start(database.url);
    expect(await publishWith(key, service.url)).toBe(201);
    await service.stop();
    expect(await database.rows('select tenant from belfry.events')).toEqual([{ tenant: 'acme' }]);
  });

  it.each([
    ['with spaces', ['--scope', 'publish jobs']],
    ['with commas', ['--scope=publish,jobs']],
    ['one by one', ['--scope', 'publish', '--scope', 'jobs']],
  ])('takes scopes %s, in the default tenant', async (_how, scope) => {
    const { id } = keyIn(await run('create', '--name', 'x', ...scope));
    expect(await database.rows('select tenant, scopes from belfry.api_keys where id = $1', [id])).toEqual([
      { tenant: 'default', scopes: ['publish', 'jobs'] },
    ]);
  });

  it('lets a key expire after a span or at a time', async () => {
    const expiry = async (when: string) => {
      const { id } = keyIn(await run('create', '--name', 'x', '--scope', 'publish', '--expires', when));
      const [row] = await database.rows<{ at: Date }>(
        'select expires_at as at from belfry.api_keys where id = $1',
        [id],
      );
      return row!.at.getTime();
    };
    const before = Date.now();
    const in90Days = await expiry('90d');
    expect(in90Days).toBeGreaterThanOrEqual(before + 90 * 86_400_000);
    expect(in90Days).toBeLessThanOrEqual(Date.now() + 90 * 86_400_000);
    expect(await expiry('2999-01-31')).toBe(Date.UTC(2999, 0, 31));
    expect(await expiry('2999-01-31T12:00+02:00')).toBe(Date.UTC(2999, 0, 31, 10));
  });

  it('shows the keys of a tenant, or of all, in a table without the keys themselves', async () => {
    const made = keyIn(
      await run(
        'create',
        '--name',
        'a b',
        '--scope',
        'admin',
        '--tenant',
        'shown',
        '--expires',
        '2999-01-31',
      ),
    );
    const other = keyIn(await run('create', '--name', 'c', '--scope', 'inbox', '--tenant', 'else'));
    await database.rows(
      `update belfry.api_keys set created_at = '2026-01-02T03:04:05Z', last_used_at = '2026-02-03T04:05Z' where id = $1`,
      [made.id],
    );
    const { code, stdout } = await run('list', '--tenant', 'shown');
    expect(code).toBe(0);
    expect(stdout.split('\n')).toEqual([
      'ID            NAME  TENANT  SCOPES  CREATED            EXPIRES            LAST USED          STATE',
      `${made.id}  a b   shown   admin   2026-01-02T03:04Z  2999-01-31T00:00Z  2026-02-03T04:05Z  good`,
      '',
    ]);
    const all = await run('list');
    expect(all.stdout).toContain(made.id);
    expect(all.stdout).toContain(other.id);
    expect(all.stdout).not.toContain(made.key.slice(-43));
    expect(await run('list', '--tenant', 'nobody')).toMatchObject({ code: 0, stdout: '' });
  });

  it('revokes by the id or by the whole key, and says when there is none', async () => {
    const first = keyIn(await run('create', '--name', 'x', '--scope', 'publish', '--tenant', 'revoking'));
    const second = keyIn(await run('create', '--name', 'y', '--scope', 'publish', '--tenant', 'revoking'));
    expect(await run('revoke', first.id)).toEqual({
      code: 0,
      stdout: '',
      stderr: `Key ${first.id} is revoked.\n`,
    });
    expect((await run('revoke', second.key)).code).toBe(0);
    const { stdout } = await run('list', '--tenant', 'revoking');
    expect(stdout.match(/ revoked \d{4}-/g)).toHaveLength(2);
    expect(await run('revoke', '000000000000')).toEqual({
      code: 1,
      stdout: '',
      stderr: 'There is no key 000000000000: keys list shows those there are.\n',
    });
  });

  it('works before the first start: the schema is made then', async () => {
    await database.rows('drop schema belfry cascade');
    keyIn(await run('create', '--name', 'first', '--scope', 'publish'));
    expect(await database.rows('select name from belfry.api_keys')).toEqual([{ name: 'first' }]);
  });

  it('says in one sentence that the database cannot be reached, without its password', async () => {
    const url = new URL(database.url);
    url.port = '1';
    const ran = await belfry({ DATABASE_URL: url.href }, 'keys', 'list');
    expect(ran).toMatchObject({ code: 1, stdout: '' });
    expect(ran.stderr).toMatch(/^[^\n]*ECONNREFUSED[^\n]*\.\n$/);
    expect(ran.stderr).not.toContain(url.password);
  });
});

describe('what is typed wrongly', () => {
  it.each([
    [[], /^Give one of the commands keys/],
    [['kyes'], /^Give one of the commands keys/],
    [['constructor'], /^Give one of the commands keys/],
    [['keys', 'create', '--name', 'x', '--scope', 'root'], /^--scope must be/],
  ])('%j is refused with one sentence, and touches no database', async (args, sentence) => {
    const ran = await belfry({ DATABASE_URL: 'postgres://127.0.0.1:1/none' }, ...args);
    expect(ran).toMatchObject({ code: 1, stdout: '' });
    expect(ran.stderr).toMatch(/^[^\n]+\.\n$/);
    expect(ran.stderr).toMatch(sentence);
  });

  const create = ['create', '--name', 'x', '--scope', 'publish'];

  it.each([
    [[], /^Say what to do with keys: create, list or revoke/],
    [['drop'], /^Say what to do with keys: create, list or revoke/],
    [['create', '--scope', 'publish'], /^--name must be 1 to 100 characters/],
    [['create', '--name', 'a\nb', '--scope', 'publish'], /^--name must be/],
    [['create', '--name', 'x'], /^--scope must be one or more of publish, inbox/],
    [[...create, '--scope', 'root'], /^--scope must be/],
    [[...create, '--tenant', 'a/b'], /^--tenant must be 1 to 100/],
    [[...create, '--expires', 'tomorrow'], /^--expires must be a span/],
    [[...create, '--expires', '0d'], /^--expires must be/],
    [[...create, '--expires', '2020-01-01'], /^--expires must be/],
    [[...create, '--expires', '2999-02-30'], /^--expires must be/],
    [[...create, 'extra'], /^"extra" belongs to no option/],
    [[...create, '--nmae', 'x'], /--nmae.*--help/],
    [['create', '--name'], /--name.*--help/],
    [['list', '--tenant', ''], /^--tenant must be/],
    [['revoke'], /^Give one id/],
    [['revoke', 'a', 'b'], /^Give one id/],
    [['revoke', 'nonsense'], /^Give one id/],
  ])('keys %j is refused with a sentence', async (args, sentence) => {
    const error: unknown = await keys.run(args).catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(CommandError);
    expect((error as Error).message).toMatch(/^[^\n]+\.$/);
    expect((error as Error).message).toMatch(sentence);
  });

  it.each([[['--help']], [['keys', '--help']], [['keys', 'create', '--help']]])(
    '%j tells how',
    async args => {
      const ran = await belfry({}, ...args);
      expect(ran).toMatchObject({ code: 0, stderr: '' });
      expect(ran.stdout).toContain('npm run belfry -- keys');
    },
  );

  it('in the environment is said with the name of the variable', async () => {
    expect(await belfry({ DATABASE_URL: 'mysql://db/x' }, 'keys', 'list')).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(/^DATABASE_URL must be [^\n]+\.\n$/),
    });
    expect(await belfry({ NODE_ENV: 'production' }, 'keys', 'list')).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(/^DATABASE_URL must be set [^\n]+\.\n$/),
    });
  });
});
