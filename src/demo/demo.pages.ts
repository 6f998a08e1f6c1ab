import { Injectable } from '@nestjs/common';
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';

import { Problem } from '../errors/problem.js';

/** As far away from dist/demo as from src/demo. */
const BUILT = new URL('../../client/dist/demo/', import.meta.url);

/** All that is served; a request's path is looked up here, and never becomes part of the name of a file. */
const TYPES = {
  'index.html': 'text/html; charset=utf-8',
  'demo.css': 'text/css; charset=utf-8',
  'demo.js': 'text/javascript; charset=utf-8',
} as const;

export type PageName = keyof typeof TYPES;

interface Page {
  readonly type: string;
  readonly body: Buffer;
  /** RFC 9110, section 8.8.3. */
  readonly etag: string;
}

/** The files of the demo, as the build left them; nothing is built under a running instance, so each is read once. */
@Injectable()
export class DemoPages {
  private readonly pages = new Map<PageName, Promise<Page>>();

  static isPage(name: string): name is PageName {
    return Object.hasOwn(TYPES, name);
  }

  /** @throws Problem not-found when the pages were not built */
  async page(name: PageName): Promise<Page> {
    const known = this.pages.get(name) ?? read(name);
    this.pages.set(name, known);
    try {
      return await known;
    } catch (cause) {
      this.pages.delete(name);
      throw new Problem('not-found', 'The pages of the demo are not built: run "npm run build".', { cause });
    }
  }
}

async function read(name: PageName): Promise<Page> {
  const body = await readFile(new URL(name, BUILT));
  const etag = `"${createHash('sha256').update(body).digest('base64url').slice(0, 22)}"`;
  return { type: TYPES[name], body, etag };
}
