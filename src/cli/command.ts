import { parseArgs, type ParseArgsConfig } from 'node:util';
import { isNativeError } from 'node:util/types';

/** One word after `belfry`. It prints its answer to standard output, and what people should know to standard error. */
export interface Command {
  /** For the list of commands. */
  readonly summary: string;
  /** @throws CommandError, BootError, or whatever the database throws */
  readonly run: (args: readonly string[]) => Promise<void>;
}

/** What was asked for cannot be done. The message is one sentence that says what to do. */
export class CommandError extends Error {}

/**
 * Reads options and words, strictly.
 *
 * @throws CommandError
 */
export function readArguments<Options extends NonNullable<ParseArgsConfig['options']>>(
  args: readonly string[],
  options: Options,
) {
  try {
    return parseArgs({ args: [...args], options, strict: true, allowPositionals: true });
  } catch (error) {
    if (!isNativeError(error) || !isAboutArguments(error)) throw error;
    // Node adds advice on how to write words that begin with a dash.
    const [reason = ''] = error.message.split(/\.\s/, 1);
    throw new CommandError(`${reason.replace(/\.$/, '')}: --help tells what is taken.`, { cause: error });
  }
}

function isAboutArguments(error: Error): boolean {
  return 'code' in error && String(error.code).startsWith('ERR_PARSE_ARGS_');
}

/** @param lines one for each line of text */
export function tell(...lines: string[]): void {
  process.stderr.write(lines.map(line => `${line}\n`).join(''));
}

/** The same for the answer of a command. */
export function print(...lines: string[]): void {
  process.stdout.write(lines.map(line => `${line}\n`).join(''));
}
