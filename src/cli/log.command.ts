import { LogAudit, type LogStatus } from '../log/audit.js';
import { isLocked, Retention } from '../log/retention.js';
import { readCommandConfig, withDatabase } from './cli.database.js';
import { type Command, CommandError, print, readArguments, tell } from './command.js';
import { table } from './table.js';

const USAGE = `The log: what is in it, and whether it is whole.

  npm run belfry -- log status
  npm run belfry -- log trim
  npm run belfry -- log verify
  npm run belfry -- log fork

status   shows how far the log goes, its partitions and epochs, and what waits to come into it
trim     drops what has expired (RETENTION_HOURS, DEDUPE_HOURS) now, as the service does by itself
verify   reads all of it and says what is not as it must be; the exit code is 1 then
fork     begins another epoch at its end: after a backup of the disk was put back, so that clients which have seen
         more than it holds are told; a failover or a restored dump is noticed without it`;

export const log: Command = {
  summary: 'look at the log, drop what has expired, check that it is whole',
  async run(args) {
    const { values, positionals } = readArguments(args, { help: { type: 'boolean', short: 'h' } });
    const [action = '', ...rest] = positionals;
    if (values.help || action === 'help') {
      print(USAGE);
      return;
    }
    const run = Object.hasOwn(ACTIONS, action) ? ACTIONS[action] : undefined;
    if (!run || rest.length > 0) {
      throw new CommandError(
        'Say what to do with the log: status, trim, verify or fork; log --help tells more.',
      );
    }
    await run();
  },
};

const ACTIONS: Readonly<Record<string, () => Promise<void>>> = { status, trim, verify, fork };

async function status(): Promise<void> {
  const { floor, head, epochs, partitions, waiting, rejected, keys } = await audit(log => log.status());
  print(
    floor > head
      ? `The log is empty and goes on with seq ${floor}.`
      : `The log holds the seqs ${floor} to ${head}.`,
    `Published by SQL and not in it yet: ${waiting}; set aside (belfry.outbox_rejected): ${rejected}.`,
    `Keys of publishers that are remembered, about: ${keys}.`,
    '',
    ...table(['PARTITION', 'FROM', 'TO', 'SIZE', 'NEWEST'], partitions.map(partitionRow)),
    '',
    ...table(['EPOCH', 'BEGAN', 'AFTER'], epochs.map(epochRow)),
  );
}

function partitionRow({ name, from, to, bytes, newestAt }: LogStatus['partitions'][number]): string[] {
  return [
    name,
    String(from),
    String(to),
    `${(bytes / 1024 ** 2).toFixed(1)} MiB`,
    newestAt?.toISOString() ?? '-',
  ];
}

function epochRow({ name, forkedAt, beganAt }: LogStatus['epochs'][number]): string[] {
  return [name, beganAt.toISOString(), String(forkedAt)];
}

async function trim(): Promise<void> {
  const config = await readCommandConfig();
  const [before, after] = await withDatabase(config, async database => {
    const log = new LogAudit(database);
    const { floor } = await log.status();
    try {
      await new Retention(database, config).trim();
    } catch (error) {
      if (!isLocked(error)) throw error;
      throw new CommandError('Somebody is reading the log, such as a dump: try again when it is done.', {
        cause: error,
      });
    }
    return [floor, (await log.status()).floor];
  });
  tell(
    after === before ? 'No event has expired.' : `The events before seq ${after} have expired and are gone.`,
  );
}

async function verify(): Promise<void> {
  const faults = await audit(log => log.faults());
  if (faults.length === 0) {
    tell('The log is whole.');
    return;
  }
  print(...faults);
  throw new CommandError(
    `The log is not whole: ${faults.length === 1 ? 'one thing is' : `${faults.length} things are`} wrong.`,
  );
}

async function fork(): Promise<void> {
  await audit(log => log.fork());
  const { epochs } = await audit(log => log.status());
  const { name, forkedAt } = epochs.at(-1) ?? { name: '', forkedAt: 0 };
  tell(
    `The epoch ${name} began after seq ${forkedAt}. Clients that have seen more are told when they come back.`,
  );
}

async function audit<Result>(work: (log: LogAudit) => Promise<Result>): Promise<Result> {
  return withDatabase(await readCommandConfig(), database => work(new LogAudit(database)));
}
