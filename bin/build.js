// @ts-check
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { performance } from 'node:perf_hooks';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';

import { codeOf, describeProcess, isAlive, ProcessLock } from './process-lock.js';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const MODULES = join(ROOT, 'node_modules');
const NEST = join(MODULES, '@nestjs/cli/bin/nest.js');
/** Absent where the service runs without its pages. */
const CLIENT = join(ROOT, 'client');
const DIST = join(ROOT, 'dist');
/** What a build has made when it is complete. */
const MADE = existsSync(CLIENT)
  ? [join(DIST, 'main.js'), join(CLIENT, 'dist/belfry-bell.js'), join(CLIENT, 'dist/demo/demo.js')]
  : [join(DIST, 'main.js')];
/** Inside dist: when the build empties that folder, the stamp is gone until the build has succeeded. */
const STAMP = join(DIST, '.built');
/** Outside dist, which a build empties. */
const CACHE = join(MODULES, '.cache/belfry');
const RUNNING = join(CACHE, 'running');
/** Several times what a build takes on a slow machine. */
const BUILD_TIMEOUT_MS = 180_000;

/** The message is one sentence that says what to do. */
export class BuildError extends Error {}

/**
 * Builds `dist` when the sources are not those it was built from. Of several processes that ask at once one builds
 * and the others wait for it. It never builds under a running instance of this clone, whose files it would swap.
 *
 * @param {{ asInstance?: boolean, say?: (line: string) => void }} [options] asInstance: this process runs the build
 *   from now on, so that nobody replaces it before this process has ended; say: hears that it builds
 * @returns {Promise<void>}
 * @throws {BuildError}
 */
export async function ensureBuilt({ asInstance = false, say = console.log } = {}) {
  if (!existsSync(MODULES))
    throw new BuildError(`There is no node_modules folder in ${ROOT}: run npm ci first.`);
  if (!isCacheWritable()) return useAsItIs();
  const lock = new ProcessLock(join(CACHE, 'build.lock'));
  const holder = await lock.take(BUILD_TIMEOUT_MS);
  if (holder !== undefined) {
    throw new BuildError(`Process ${holder} has been building for too long: stop it, then start again.`);
  }
  // Registered under the same lock as the decision: no build can begin between the two.
  try {
    if (!isCurrent()) await replaceBuild(lock, say);
    if (asInstance) registerInstance();
  } finally {
    lock.release();
  }
}

/** A clone that belongs to another user runs what its owner has built. */
function useAsItIs() {
  if (isCurrent()) return;
  throw new BuildError(
    `No build of these sources is there that this user can read, nor may it write to ${ROOT}: build as its owner.`,
  );
}

function isCurrent() {
  if (!MADE.every(file => existsSync(file)) || !existsSync(STAMP)) return false;
  return readFileSync(STAMP, 'utf8') === fingerprint();
}

/** Contents and names, not times: a checkout that changes nothing builds nothing. */
function fingerprint() {
  const files = [ROOT, CLIENT].filter(folder => existsSync(folder)).flatMap(inputsOf);
  const hash = createHash('sha256');
  for (const file of files.sort()) {
    const content = readFileSync(join(ROOT, file));
    hash.update(`${file}\0${content.length}\0`).update(content);
  }
  return hash.digest('hex');
}

/**
 * @param {string} folder
 * @returns {string[]} paths within the project
 */
function inputsOf(folder) {
  const sources = ['src', 'demo']
    .map(name => join(folder, name))
    .filter(path => existsSync(path))
    .flatMap(path => readdirSync(path, { recursive: true, withFileTypes: true }))
    .filter(entry => entry.isFile())
    .map(entry => join(entry.parentPath, entry.name));
  const settings = readdirSync(folder)
    .filter(name =>
      /^tsconfig.*\.json$|^nest-cli\.json$|^package-lock\.json$|^rollup\.config\.js$/.test(name),
    )
    .map(name => join(folder, name));
  return [...sources, ...settings].map(file => relative(ROOT, file));
}

/**
 * @param {ProcessLock} lock
 * @param {(line: string) => void} say
 */
async function replaceBuild(lock, say) {
  const instance = runningInstances()[0];
  if (instance !== undefined) {
    throw new BuildError(
      `The sources changed, and process ${instance} runs the last build of this clone: stop it, then start again.`,
    );
  }
  if (!existsSync(NEST))
    throw new BuildError(`The build needs @nestjs/cli, which is not there: run npm ci first.`);
  say('Building…');
  const began = performance.now();
  // Taken before the build: what changes while it runs is built the next time.
  const built = fingerprint();
  rmSync(STAMP, { force: true });
  await run(lock, NEST, 'build');
  if (existsSync(CLIENT)) await buildClient(lock);
  const missing = MADE.find(file => !existsSync(file));
  if (missing !== undefined) throw new BuildError(`The build did not make ${missing}: see its settings.`);
  writeFileSync(`${STAMP}.new`, built);
  renameSync(`${STAMP}.new`, STAMP);
  say(`Built in ${((performance.now() - began) / 1000).toFixed(1)} s.`);
}

/**
 * First modules for bundlers, with their types, then of those the one file for pages without, and the demo.
 *
 * @param {ProcessLock} lock
 */
async function buildClient(lock) {
  // The compiler would leave what was made of sources that are gone.
  rmSync(join(CLIENT, 'dist'), { recursive: true, force: true });
  await run(lock, join(MODULES, 'typescript/bin/tsc'), '-p', join(CLIENT, 'tsconfig.build.json'));
  await run(
    lock,
    join(MODULES, 'rollup/dist/bin/rollup'),
    '--silent',
    '-c',
    join(CLIENT, 'rollup.config.js'),
  );
}

/**
 * @param {ProcessLock} lock
 * @param {string} script
 * @param {string[]} args
 */
async function run(lock, script, ...args) {
  const child = spawn(process.execPath, [script, ...args], { cwd: ROOT, stdio: ['ignore', 'pipe', 'pipe'] });
  if (child.pid !== undefined) lock.share(child.pid);
  const [output, errors, [code]] = await Promise.all([
    text(child.stdout),
    text(child.stderr),
    once(child, 'close'),
  ]);
  if (code === 0) return;
  throw new BuildError(
    `${output}${errors}The build failed: put right what it reports above, then start again.`,
  );
}

/** @returns {string[]} pids; the marks of processes that ended without a word are removed */
function runningInstances() {
  return readdirSync(RUNNING).filter(pid => {
    const mark = join(RUNNING, pid);
    // An instance that ends just now takes its mark away itself.
    if (isAlive(readMark(mark))) return true;
    rmSync(mark, { force: true });
    return false;
  });
}

/** @param {string} mark */
function readMark(mark) {
  try {
    return readFileSync(mark, 'utf8');
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return '';
    throw error;
  }
}

function registerInstance() {
  const mark = join(RUNNING, `${process.pid}`);
  writeFileSync(mark, describeProcess(process.pid) ?? '');
  process.once('exit', () => rmSync(mark, { force: true }));
}

function isCacheWritable() {
  try {
    mkdirSync(RUNNING, { recursive: true });
    const probe = join(RUNNING, '..', `probe-${process.pid}`);
    writeFileSync(probe, '');
    rmSync(probe);
    return true;
  } catch (error) {
    if (['EACCES', 'EPERM', 'EROFS'].includes(codeOf(error) ?? '')) return false;
    throw error;
  }
}
