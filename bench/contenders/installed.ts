import { existsSync, readFileSync } from 'node:fs';
import type { Found } from '../contender.js';

/** The version of an npm package that the servers of this folder can import. */
export function installed(name: string): Found {
  try {
    // Packages need not export their package.json, so it is looked for above the entry.
    let folder = new URL('.', import.meta.resolve(name));
    while (!existsSync(new URL('package.json', folder)) || !namedIn(folder, name)) {
      const above = new URL('..', folder);
      if (above.href === folder.href) return { missing: `${name} has no package.json` };
      folder = above;
    }
    return { version: `${name} ${packageIn(folder).version}` };
  } catch {
    return { missing: `the npm package ${name} is not installed` };
  }
}

function namedIn(folder: URL, name: string): boolean {
  return packageIn(folder).name === name;
}

function packageIn(folder: URL): { name: string; version: string } {
  return JSON.parse(readFileSync(new URL('package.json', folder), 'utf8')) as {
    name: string;
    version: string;
  };
}
