import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join, resolve } from 'node:path';
import ts from 'typescript';

/** How the example of a language is run, where that is installed. Its scripts are for bash. */
export interface Runtime {
  /** The marker of the example. */
  readonly name: string;
  readonly language: string;
  /** Makes an empty folder ready, and fails where something is not installed; it installs nothing. */
  readonly setup: string;
  /** The example, and what calls it, by name. */
  readonly files: (example: string) => Readonly<Record<string, string>>;
  /** Pays the order ORDER in the database DATABASE_URL. */
  readonly pay: string;
}

/** For packages of Node: those of this project, and those that NODE_PATH leads to. */
export const ENVIRONMENT: NodeJS.ProcessEnv = {
  NODE_PATH: [resolve('node_modules'), process.env['NODE_PATH'] ?? ''].join(delimiter),
};

/** The node_modules that a package is in. */
const linkModulesOf = (name: string) =>
  `ln -s "$(node -p 'require.resolve("${name}").replace(/(.*node_modules).*/, "$1")')" node_modules`;

const commonjs = (example: string) =>
  ts.transpileModule(example, {
    compilerOptions: { module: ts.ModuleKind.CommonJS, target: ts.ScriptTarget.ES2023 },
  }).outputText;

/** From what Go has downloaded before, and not from the network. */
const GO = `export GOPROXY="file://$(go env GOMODCACHE)/cache/download"
  export GOFLAGS=-mod=mod GOSUMDB=off GOTOOLCHAIN=local`;

export const RUNTIMES: readonly Runtime[] = [
  {
    name: 'psycopg',
    language: 'python',
    setup: `python3 -c 'import psycopg'`,
    files: example => ({
      'orders.py': example,
      'main.py': `
import os
import psycopg
from orders import pay

with psycopg.connect(os.environ["DATABASE_URL"]) as connection:
    pay(connection, int(os.environ["ORDER"]))
`,
    }),
    pay: 'python3 main.py',
  },
  {
    name: 'pgx',
    language: 'go',
    setup: `${GO}
      go mod init example && go get github.com/jackc/pgx/v5 && go list -deps github.com/jackc/pgx/v5`,
    files: example => ({
      'orders/orders.go': example,
      'main.go': `
package main

import (
	"context"
	"os"
	"strconv"

	"example/orders"
	"github.com/jackc/pgx/v5"
)

func main() {
	connection, err := pgx.Connect(context.Background(), os.Getenv("DATABASE_URL"))
	if err != nil {
		panic(err)
	}
	order, _ := strconv.Atoi(os.Getenv("ORDER"))
	if err := orders.Pay(context.Background(), connection, order); err != nil {
		panic(err)
	}
}
`,
    }),
    pay: `${GO}
      go run .`,
  },
  {
    name: 'rails',
    language: 'ruby',
    setup: `ruby -e 'require "logger"; require "active_record"; require "pg"'`,
    files: example => ({
      'order.rb': example,
      'main.rb': `
require "logger" # ActiveRecord before 7.1 needs it and does not say so.
require "active_record"
ActiveRecord::Base.establish_connection(ENV.fetch("DATABASE_URL"))
class ApplicationRecord < ActiveRecord::Base
  self.abstract_class = true
end
require_relative "order"
Order.find(Integer(ENV.fetch("ORDER"))).pay!
`,
    }),
    pay: 'ruby main.rb',
  },
  {
    name: 'prisma',
    language: 'ts',
    setup: `${linkModulesOf('@prisma/client')} && test -e node_modules/prisma && node -e 'require("@prisma/adapter-pg")'`,
    files: example => ({
      'pay.js': commonjs(example),
      'schema.prisma': `
generator client {
  provider = "prisma-client-js"
  output   = "./client"
}
datasource db {
  provider = "postgresql"
}
model Order {
  id     Int    @id
  status String
  @@map("orders")
}
`,
      'main.js': `
const { PrismaPg } = require('@prisma/adapter-pg');
const { PrismaClient } = require('./client');
const { pay } = require('./pay');

const adapter = new PrismaPg({ connectionString: process.env.DATABASE_URL });
const prisma = new PrismaClient({ adapter });
pay(prisma, Number(process.env.ORDER)).finally(() => prisma.$disconnect());
`,
    }),
    pay: `CHECKPOINT_DISABLE=1 node node_modules/prisma/build/index.js generate --schema schema.prisma && node main.js`,
  },
  {
    name: 'typeorm',
    language: 'ts',
    setup: linkModulesOf('typeorm'),
    files: example => ({
      'pay.js': commonjs(example),
      'order.js': `
const { EntitySchema } = require('typeorm');

exports.Order = new EntitySchema({
  name: 'Order',
  tableName: 'orders',
  columns: { id: { type: 'integer', primary: true }, status: { type: 'text' } },
});
`,
      'main.js': `
const { DataSource } = require('typeorm');
const { Order } = require('./order');
const { pay } = require('./pay');

const dataSource = new DataSource({ type: 'postgres', url: process.env.DATABASE_URL, entities: [Order] });
dataSource
  .initialize()
  .then(() => pay(dataSource, Number(process.env.ORDER)))
  .finally(() => dataSource.destroy());
`,
    }),
    pay: 'node main.js',
  },
];

/** Says so where it is not, because its example is not tried out there. */
export function isInstalled({ name, setup }: Runtime): boolean {
  const folder = mkdtempSync(join(tmpdir(), 'belfry-runtime-'));
  const env = { ...process.env, ...ENVIRONMENT };
  const { status } = spawnSync('bash', ['-c', setup], { cwd: folder, env, stdio: 'ignore' });
  rmSync(folder, { recursive: true });
  if (status !== 0)
    process.stderr.write(`The example for ${name} is not tried out here: it is not installed.\n`);
  return status === 0;
}
