import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Build } from './build.js';
import { killChildren } from './child.js';
import type { Contender } from './contender.js';
import { contenders } from './contenders/contenders.js';
import { checkOpenFiles } from './machine.js';
import { Postgres } from './postgres.js';
import { Rounds } from './rounds.js';
import type { Settings } from './settings.js';
import { Stage } from './stage.js';

/** Somebody lost, doubled or reordered an event, or could not do at all what was asked. */
export interface Failure {
  readonly scenario: string;
  readonly who: string;
  readonly round: number;
  readonly what: string;
}

/** What scenarios are run in. */
export class Lab {
  readonly failures: Failure[] = [];
  /** By name: the version of each contender that takes part. */
  readonly versions: Record<string, string> = {};
  /** By name: why a contender does not take part. */
  readonly skipped: Record<string, string> = {};
  private readonly present: Contender[] = [];
  private scenario = '';

  private constructor(
    readonly settings: Settings,
    readonly postgres: Postgres,
    private readonly build: Build,
    private readonly folder: string,
    /** Hears what is being done. */
    readonly say: (text: string) => void,
  ) {}

  static async open(settings: Settings, say: (text: string) => void): Promise<Lab> {
    const build = await Build.copy();
    const folder = await mkdtemp(join(tmpdir(), 'belfry-bench-'));
    // Started as root, some servers let their workers be another user.
    await chmod(folder, 0o755);
    const lab = new Lab(settings, await Postgres.start(), build, folder, say);
    const asked = settings.contenders;
    for (const contender of contenders) {
      const isAsked = asked?.includes(contender.name) ?? true;
      const found = isAsked ? await contender.find(settings) : { missing: 'left out by --contenders' };
      if ('missing' in found) {
        lab.skipped[contender.name] = found.missing;
      } else {
        lab.present.push(contender);
        lab.versions[contender.name] = found.version;
      }
    }
    return lab;
  }

  /** Those who take part, of the ones named, or of all. */
  contenders(...names: readonly string[]): Contender[] {
    return this.present.filter(({ name }) => names.length === 0 || names.includes(name));
  }

  /** The same; in a quick run, unless others were asked for, those who matter most. */
  mainContenders(): Contender[] {
    return this.settings.quick && !this.settings.contenders
      ? this.contenders('belfry', 'plain', 'nest-sse')
      : this.contenders();
  }

  enter(scenario: string): void {
    this.scenario = scenario;
  }

  /** Connections for a scenario, fewer in a quick run. @throws Error when a process may not open so many */
  connections(quick: number, full = quick): number {
    const count = this.settings.conns ?? this.amount(quick, full);
    checkOpenFiles(count);
    return count;
  }

  /** Of whatever a scenario has much of, milliseconds or rows: the smaller one in a quick run. */
  amount(quick: number, full: number): number {
    return this.settings.quick ? quick : full;
  }

  /**
   * Lets everybody take a turn in every round, each on an empty stage; whoever began a round is last in the next. Who
   * fails is reported, makes the whole run fail, and takes no further turns.
   */
  async rounds<Who extends { readonly name: string }, Measured>(
    everybody: readonly Who[],
    turn: (who: Who, stage: Stage) => Promise<Measured>,
  ): Promise<Rounds<Measured>> {
    const results = new Rounds<Measured>(everybody.map(({ name }) => name));
    const failed = new Set<Who>();
    const { rounds } = this.settings;
    for (let round = 0; round < rounds; round++) {
      const first = round % Math.max(1, everybody.length);
      for (const who of [...everybody.slice(first), ...everybody.slice(0, first)]) {
        if (failed.has(who)) continue;
        this.say(`${this.scenario}: round ${round + 1} of ${rounds}, ${who.name}`);
        const stage = new Stage(this.settings, this.folder, this.postgres, this.build);
        try {
          results.add(round, who.name, await turn(who, stage));
        } catch (error) {
          failed.add(who);
          this.fail(who.name, round + 1, error);
        } finally {
          await stage.clear();
        }
      }
    }
    return results;
  }

  fail(who: string, round: number, error: unknown): void {
    const what = error instanceof Error ? error.message : String(error);
    this.failures.push({ scenario: this.scenario, who, round, what });
    this.say(`FAILED: ${this.scenario}, ${who}, round ${round}: ${what}`);
  }

  async close(): Promise<void> {
    killChildren();
    await this.postgres.stop();
    this.build.remove();
    await rm(this.folder, { recursive: true, force: true });
  }

  /** For the end of the process, when there is no time to wait for anything. */
  abandon(): void {
    killChildren();
    this.postgres.kill();
    this.build.remove();
    rmSync(this.folder, { recursive: true, force: true });
  }
}
