import { describe, expect, it } from '@jest/globals';
import { readFileSync } from 'node:fs';
import type { Config } from '../../src/config/config.js';
import { loadConfig } from '../../src/config/config.js';

/** The variables of the schema in config.ts, which it keeps to itself. */
function variables(): string[] {
  const source = readFileSync('src/config/config.ts', 'utf8');
  const schema = source.slice(source.indexOf('const SCHEMA'), source.indexOf('type Variables'));
  return [...schema.matchAll(/^ {2}([A-Z][A-Z0-9_]*):/gm)].map(([, name]) => name!);
}

/** Variable and default of each row of the README's table. */
function documented(): [variable: string, fallback: string][] {
  const [, behind = ''] = readFileSync('README.md', 'utf8').split('<!-- configuration -->');
  const [table = ''] = behind.split('\n## ');
  return [...table.matchAll(/^\| `([A-Z0-9_]+)` *\| ([^|]*?) *\|/gm)].map(([, name, fallback]) => [
    name!,
    fallback!,
  ]);
}

/** What is not called as the property of the configuration that it sets. */
const PROPERTIES: Readonly<Record<string, keyof Config>> = { BELFRY_DATA_DIR: 'dataDir' };

function propertyOf(variable: string): keyof Config {
  const camelCase = variable.toLowerCase().replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase());
  return PROPERTIES[variable] ?? (camelCase as keyof Config);
}

describe('the configuration table of the README', () => {
  it('has each variable once, and no other', () => {
    expect(
      documented()
        .map(([variable]) => variable)
        .sort(),
    ).toEqual(variables().sort());
  });

  // Whose defaults depend on others; the text of the row says how.
  const told = new Set(['HOST', 'NODE_ENV', 'JWKS_ALGORITHMS']);

  it.each(documented().filter(([variable]) => !told.has(variable)))(
    'gives %s its default, %s',
    (variable, fallback) => {
      const value = loadConfig({})[propertyOf(variable)];
      if (fallback === 'unset') expect(value).toBeUndefined();
      else if (fallback === 'none') expect(value).toEqual([]);
      else if (typeof value === 'number') expect(`\`${value}\``).toBe(fallback);
      // Of a folder the table gives what is resolved against the working directory.
      else expect(loadConfig({ [variable]: fallback.slice(1, -1) })[propertyOf(variable)]).toBe(value);
    },
  );

  const rowOf = (variable: string) =>
    readFileSync('README.md', 'utf8')
      .split('\n')
      .find(line => line.startsWith(`| \`${variable}\``));

  it('gives JWKS_ALGORITHMS all of its default', () => {
    expect(rowOf('JWKS_ALGORITHMS')).toContain(`unset: \`${loadConfig({}).jwksAlgorithms.join(', ')}\``);
  });

  it('gives HOST its two defaults', () => {
    const row = rowOf('HOST');
    const secret = 'k3Zp9-vQ7w_Lm2x'.repeat(3);
    expect(row).toContain(`\`${loadConfig({}).host}\` in demo mode`);
    expect(row).toContain(
      `else \`${loadConfig({ DATABASE_URL: 'postgres://h/d', JWT_SECRET: secret }).host}\``,
    );
  });
});
