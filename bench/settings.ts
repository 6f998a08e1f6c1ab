import { parseArgs } from 'node:util';

/** What this run was asked for. */
export interface Settings {
  /** Short phases; for a look, not for a claim. */
  readonly quick: boolean;
  /** Names of the scenarios to run; undefined: all. */
  readonly only: readonly string[] | undefined;
  /** Names of the contenders that take part; undefined: all that can. */
  readonly contenders: readonly string[] | undefined;
  /** Connections, instead of what each scenario thinks right. */
  readonly conns: number | undefined;
  /** How often each contender takes its turn. */
  readonly rounds: number;
  /** Programs of peers that are not found on PATH. */
  readonly programs: { readonly mercure: string | undefined; readonly centrifugo: string | undefined };
}

/** Fewer rounds say nothing about how far the numbers vary. */
const ROUNDS = 3;

export const USAGE = `npm run bench -- [options]

  --quick            at most 10 minutes on two cores; without it at most 45
  --only a,b         only these scenarios
  --contenders a,b   only these contenders, such as belfry,plain
  --conns N          connections, instead of each scenario's own number
  --rounds N         turns of each contender (default ${ROUNDS})
  --mercure PATH     the mercure program (default: the one on PATH)
  --centrifugo PATH  the centrifugo program (default: the one on PATH)
  --help             this text`;

/**
 * @returns undefined when only the usage is asked for
 * @throws Error that says which option is wrong
 */
export function readSettings(args: readonly string[]): Settings | undefined {
  const { values } = parseArgs({
    args: [...args],
    options: {
      quick: { type: 'boolean', default: false },
      only: { type: 'string' },
      contenders: { type: 'string' },
      conns: { type: 'string' },
      rounds: { type: 'string' },
      mercure: { type: 'string' },
      centrifugo: { type: 'string' },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) return undefined;
  return {
    quick: values.quick,
    only: names(values.only),
    contenders: names(values.contenders),
    conns: wholeNumber('--conns', values.conns),
    rounds: wholeNumber('--rounds', values.rounds) ?? ROUNDS,
    programs: { mercure: values.mercure, centrifugo: values.centrifugo },
  };
}

function names(text: string | undefined): string[] | undefined {
  return text?.split(',').map(name => name.trim());
}

function wholeNumber(option: string, text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const value = Number(text);
  if (!Number.isSafeInteger(value) || value < 1)
    throw new Error(`${option} must be a whole number from 1 on.`);
  return value;
}
