import { readFileSync } from 'node:fs';
import { ROOT } from './build.js';
import { contenders } from './contenders/contenders.js';
import { Lab } from './lab.js';
import { describeMachine } from './machine.js';
import { formatResult, type Report, writeReport } from './report.js';
import type { Scenario } from './scenario.js';
import { scenarios } from './scenarios/scenarios.js';
import { readSettings, type Settings, USAGE } from './settings.js';

/** A run that takes longer than this hangs, in minutes. */
const LIMIT = { quick: 15, full: 60 };
const startedAt = new Date();
const say = (text: string): void => {
  console.error(`${new Date().toISOString().slice(11, 19)} ${text}`);
};

/** @returns the exit code: 1 when somebody lost, doubled or reordered an event or did not work at all */
async function main(): Promise<number> {
  const settings = readSettings(process.argv.slice(2));
  if (!settings) {
    console.log(USAGE);
    return 0;
  }
  if (process.platform !== 'linux') {
    console.error('The benchmark runs on Linux only: CPU time and memory are read from /proc.');
    return 1;
  }
  const chosen = choose(settings);
  // While Postgres is being started nobody knows yet what there is to end: the signal then waits until it runs.
  let opened = false;
  let signalled: number | undefined;
  const end = (code: number): void => {
    signalled = code;
    if (opened) process.exit(code);
  };
  process.on('SIGINT', () => {
    end(130);
  });
  process.on('SIGTERM', () => {
    end(143);
  });
  const lab = await Lab.open(settings, say);
  // Whatever ends this process, a signal or a mistake, takes what it has started with it.
  process.on('exit', abandon);
  opened = true;
  if (signalled !== undefined) process.exit(signalled);
  const minutes = settings.quick ? LIMIT.quick : LIMIT.full;
  setTimeout(() => {
    console.error(`The run was ended: it has taken more than ${minutes} minutes.`);
    process.exit(1);
  }, minutes * 60_000).unref();

  const report = await run(lab, chosen);
  await lab.close();
  process.off('exit', abandon);
  console.log(`written to ${(await writeReport(new URL('bench/results/', ROOT), report)).pathname}`);
  for (const { scenario, who, round, what } of report.failures) {
    console.error(`FAILED: ${scenario}, ${who}, round ${round}: ${what}`);
  }
  return report.failures.length === 0 ? 0 : 1;

  function abandon(): void {
    lab.abandon();
  }
}

async function run(lab: Lab, chosen: readonly Scenario[]): Promise<Report> {
  const results = [];
  for (const scenario of chosen) {
    const { name, title } = scenario;
    lab.enter(name);
    try {
      const result = await scenario.run(lab);
      results.push({ name, title, ...result });
      console.log(formatResult(`${name}: ${title}`, result, lab.skipped));
    } catch (error) {
      lab.fail('the scenario', 0, error);
    }
  }
  return {
    startedAt: startedAt.toISOString(),
    minutes: (Date.now() - startedAt.getTime()) / 60_000,
    settings: lab.settings,
    machine: describeMachine(),
    versions: {
      node: process.version,
      postgres: await lab.postgres.version(),
      nest: versionOf('@nestjs/core'),
      ...lab.versions,
    },
    skipped: lab.skipped,
    scenarios: results,
    failures: lab.failures,
  };
}

function choose({ only, contenders: wanted }: Settings): readonly Scenario[] {
  const unknown = only?.find(name => !scenarios.some(scenario => scenario.name === name));
  if (unknown !== undefined) {
    throw new Error(`--only knows no "${unknown}": ${scenarios.map(({ name }) => name).join(', ')}.`);
  }
  const nobody = wanted?.find(name => !contenders.some(contender => contender.name === name));
  if (nobody !== undefined) {
    throw new Error(`--contenders knows no "${nobody}": ${contenders.map(({ name }) => name).join(', ')}.`);
  }
  return only ? scenarios.filter(({ name }) => only.includes(name)) : scenarios;
}

function versionOf(name: string): string {
  const file = new URL(`node_modules/${name}/package.json`, ROOT);
  return (JSON.parse(readFileSync(file, 'utf8')) as { version: string }).version;
}

try {
  process.exitCode = await main();
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exit(1);
}
