import { once } from 'node:events';
import { mkdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { join, resolve } from 'node:path';

import { newFolder, TestProcess } from '../database/processes.js';
import { bash, blocksOf } from '../docs/examples.js';
import { TestDatabase } from '../support/databases.js';
import { Instance, SECRET } from '../support/instance.js';

const DOCUMENT = 'docs/bell.md';
/** Where the document says that Belfry is. */
const PRINTED = 'http://localhost:3000';

/** What an app of its own would have installed, besides the packed client. */
const INSTALLED = ['eventsource-parser', 'react', 'vue', '@types/react', 'csstype'];

/** The files of docs/bell.md in a folder, the backend printed there as a process, and Belfry beside it. */
export class Shop {
  private server: TestProcess | undefined;

  private constructor(
    readonly folder: string,
    /** Of its page. */
    readonly origin: string,
    /** Of Belfry, on the same site. */
    readonly belfry: string,
    private readonly database: TestDatabase,
    private readonly instance: Instance,
  ) {}

  static async open(): Promise<Shop> {
    const folder = await newFolder();
    await symlink(resolve('client'), join(folder, 'client'));
    const origin = `http://localhost:${await freePort()}`;
    const database = await TestDatabase.create();
    const instance = await Instance.start(database.url, { CORS_ORIGINS: origin });
    const belfry = instance.url.replace('127.0.0.1', 'localhost');
    const shop = new Shop(folder, origin, belfry, database, instance);
    await shop.run('shop', folder);
    for (const [file, language] of [
      ['index.html', 'html'],
      ['app.js', 'js'],
      ['server.mjs', 'js'],
    ] as const)
      await shop.write(file, shop.block(file, language));
    return shop;
  }

  /** Answers pages from now on. */
  async serve(): Promise<void> {
    const { PATH } = process.env;
    const env = { PATH, JWT_SECRET: SECRET, BELFRY: this.belfry, PORT: new URL(this.origin).port };
    this.server = new TestProcess([join(this.folder, 'shop/server.mjs')], env);
    await this.server.prints(this.origin);
  }

  /** A block of the document, with the address of this Belfry. */
  block(name: string, language: string): string {
    const text = blocksOf(DOCUMENT, name, language);
    if (text === '') throw new Error(`${DOCUMENT} has no ${language} under "${name}".`);
    return text.replaceAll(PRINTED, this.belfry);
  }

  async write(file: string, text: string): Promise<string> {
    const path = join(this.folder, 'shop', file);
    await writeFile(path, text);
    return path;
  }

  async add(file: string, text: string): Promise<void> {
    await this.write(file, (await readFile(join(this.folder, 'shop', file), 'utf8')) + text);
  }

  /** Packs the client as the document says, and puts it where `npm install` does. */
  async install(): Promise<void> {
    await this.run('pack', this.folder);
    const modules = join(this.folder, 'shop/node_modules');
    for (const scope of ['@belfry/client', '@types']) await mkdir(join(modules, scope), { recursive: true });
    const unpack = 'tar -xzf belfry-client-*.tgz --strip-components 1 -C shop/node_modules/@belfry/client';
    const { code, output } = await bash(unpack, this.folder);
    if (code !== 0) throw new Error(output);
    for (const name of INSTALLED) await symlink(resolve('node_modules', name), join(modules, name));
  }

  /** Runs a block of commands. @returns what it printed */
  async run(name: string, folder = process.cwd()): Promise<string> {
    const { code, output } = await bash(this.block(name, 'bash'), folder, {
      DATABASE_URL: this.database.url,
      JWT_SECRET: SECRET,
    });
    if (code !== 0) throw new Error(`${name} ended with ${code}:\n${output}`);
    return output;
  }

  /** Makes an API key by the printed command. */
  async key(): Promise<string> {
    const command = /^KEY=\$\((.*)\)$/m.exec(this.block('curl', 'bash'))![1]!;
    const env = { DATABASE_URL: this.database.url, JWT_SECRET: SECRET };
    return /bk_\w+/.exec((await bash(command, process.cwd(), env)).output)![0];
  }

  /** Runs a file of the shop with Node, to its end. */
  async node(file: string, env: NodeJS.ProcessEnv): Promise<void> {
    const { code, output } = await bash(`node shop/${file}`, this.folder, { BELFRY: this.belfry, ...env });
    if (code !== 0) throw new Error(`${file} ended with ${code}:\n${output}`);
  }

  async openStreams(): Promise<number> {
    const { text } = await this.instance.request('GET', '/metrics');
    return Number(/^belfry_streams_open (\d+)/m.exec(text)?.[1]);
  }

  async close(): Promise<void> {
    await this.server?.end('SIGTERM');
    await this.instance.stop();
    await this.database.drop();
    await rm(this.folder, { recursive: true, force: true });
  }
}

/** Belfry has to know the origin of the page, and the page that of Belfry, before either runs. */
async function freePort(): Promise<number> {
  const server = createServer().listen(0);
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}
