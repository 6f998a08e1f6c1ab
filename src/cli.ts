import 'reflect-metadata';

import { type Command, CommandError, print, tell } from './cli/command.js';
import { keys } from './cli/keys.command.js';
import { log } from './cli/log.command.js';
import { BootError } from './errors/boot-error.js';

/** After a command is done, what still holds the process is a socket to somebody who does not answer. */
const LEAVE_MS = 2_000;

const COMMANDS: Readonly<Record<string, Command>> = { keys, log };

const USAGE = `Commands of Belfry. They use the configuration of the service, in the environment or in .env.

${Object.entries(COMMANDS)
  .map(([name, { summary }]) => `  npm run belfry -- ${name}   ${summary}`)
  .join('\n')}

A command with --help tells what it takes.`;

/** @returns the exit code: 0 when it is done, 1 after anything else */
async function main([name = '', ...args]: readonly string[]): Promise<number> {
  if (['--help', '-h', 'help'].includes(name)) {
    print(USAGE);
    return 0;
  }
  try {
    const command = Object.hasOwn(COMMANDS, name) ? COMMANDS[name] : undefined;
    if (command === undefined) throw new CommandError(`Give one of the commands ${known()}, or --help.`);
    await command.run(args);
    return 0;
  } catch (error) {
    if (!(error instanceof CommandError) && !(error instanceof BootError)) throw error;
    tell(error.message);
    return 1;
  }
}

function known(): string {
  return Object.keys(COMMANDS).join(', ');
}

process.exitCode = await main(process.argv.slice(2));
setTimeout(() => process.exit(), LEAVE_MS).unref();
