import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { mkdir, rm } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { newFolder, TestProcess } from '../database/processes.js';
import { bash, blocksOf, missingOf } from './examples.js';

const README = readFileSync('README.md', 'utf8');
/** The one line of the walk-through that says where the service is. */
const ADDRESS = /^BELFRY=.*$/m;
const SECRET = randomBytes(32).toString('base64url');

const missing = missingOf('README.md', ['bash', 'curl', 'git', 'sed', 'grep']);
const describeWhereItRuns = missing.length > 0 ? describe.skip : describe;
const blocks = (name: string): string => blocksOf('README.md', name);

/** A history whose subjects are as awkward as subjects can be. */
async function repository(folder: string, commits: number): Promise<string> {
  await mkdir(folder);
  const subject = (n: number) => `Say "hash":"${n}"\tto \\ 'all' $HOME \`x\` é 漢 😀 -- data: ${n}\n`;
  const history = Array.from({ length: commits }, (_, n) => {
    const text = subject(n);
    return `commit refs/heads/main\ncommitter A <a@b> ${1_700_000_000 + n} +0000\ndata ${Buffer.byteLength(text)}\n${text}\n`;
  });
  const git = (args: string[], input = '') => {
    const { status, stderr } = spawnSync('git', args, { cwd: folder, input, encoding: 'utf8' });
    if (status !== 0) throw new Error(`git ${args.join(' ')}: ${stderr}`);
  };
  git(['init', '-q']);
  git(['symbolic-ref', 'HEAD', 'refs/heads/main']);
  git(['fast-import', '--quiet'], history.join(''));
  return folder;
}

describeWhereItRuns('the README', () => {
  let folder: string;
  let service: TestProcess;
  let address: string;

  /** Demo mode, as `npm start` runs it, with a port that the system chooses. */
  async function start(): Promise<void> {
    const env = {
      PATH: process.env['PATH'],
      PORT: '0',
      BELFRY_DATA_DIR: join(folder, 'data'),
      JWT_SECRET: SECRET,
    };
    service = new TestProcess([resolve('dist/main.js')], env);
    await service.prints('"hello"');
    address = /demo mode at (http:\S+)/.exec(service.output)![1]!;
  }

  beforeAll(async () => {
    folder = await newFolder();
    await start();
  }, 60_000);
  afterAll(async () => {
    await service.end('SIGTERM');
    await rm(folder, { recursive: true, force: true });
  });

  const walkThrough = (cwd: string) =>
    bash(blocks('walk-through').replace(ADDRESS, `BELFRY=${address}`), cwd, { TMPDIR: folder });

  it('shows the three lines that the service prints', () => {
    const printed = service.lines.filter(line => /^ {2}(?:TOKEN=|curl )/.test(line)).map(line => line.trim());
    expect(printed).toHaveLength(3);
    for (const line of printed) expect(README).toContain(line.replaceAll(address, 'http://127.0.0.1:3000'));
  });

  it('and those three lines show the event on the stream', async () => {
    const lines = service.lines.filter(line => /^ {2}(?:TOKEN=|curl )/.test(line));
    const heard = join(folder, 'heard');
    // Instead of a reader at the terminal: wait until the stream has shown it.
    const script = `exec > ${heard} 2>&1\n${lines.join('\n')}\nuntil grep -q '^data: .*hello' ${heard}; do :; done`;
    const { code, output } = await bash(script, folder);
    expect({ code, output }).toEqual({ code: 0, output: '' });
    expect(readFileSync(heard, 'utf8')).toMatch(
      /id: [0-9a-z]+\.\d+\nevent: greeting\ndata: \{"topic":"user:42",.*"data":\{"text":"hello"\}\}\n/,
    );
  });

  it.each([1, 2, 7, 1_500])('walks through a history of %d commits', async commits => {
    const cwd = await repository(join(folder, `history-${commits}`), commits);
    const { code, output } = await walkThrough(cwd);
    expect(output).toMatch(new RegExp(`^\\{"stored":${commits},"last":"[0-9a-z]+\\.\\d+"\\}\n`));
    const half = Math.ceil(commits / 2);
    expect(output).toContain(`cut off after ${half}, all ${commits} commits received once, in order\n`);
    expect(code).toBe(0);
  });

  it('walks through it again, beside what the first run left', async () => {
    const cwd = join(folder, 'history-7');
    expect((await walkThrough(cwd)).output).toContain('all 7 commits received once');
    expect((await walkThrough(cwd)).output).toContain('all 7 commits received once');
  });

  it('walks through the history of this clone', async () => {
    const { status, stdout } = spawnSync('git', ['rev-list', '--count', 'HEAD'], { encoding: 'utf8' });
    if (status !== 0) {
      process.stderr.write('There is no git history here to walk through.\n');
      return;
    }
    expect((await walkThrough(process.cwd())).output).toContain(
      `all ${stdout.trim()} commits received once, in order`,
    );
  });

  it('makes a token that the service takes', async () => {
    const { output } = await bash(blocks('token'), folder, { JWT_SECRET: SECRET });
    const answer = await fetch(`${address}/v1/events`, {
      headers: { authorization: `Bearer ${output.trim()}` },
    });
    expect(answer.status).toBe(200);
  });

  it('keeps everything over a restart', async () => {
    const { output: token } = await bash(blocks('token'), folder, { JWT_SECRET: SECRET });
    const read = async () => {
      const headers = { authorization: `Bearer ${token.trim()}` };
      return (await fetch(`${address}/v1/events`, { headers })).text();
    };
    const before = await read();
    expect(await service.end('SIGTERM')).toBe(0);
    await start();
    expect(await read()).toBe(before);
  }, 60_000);
});
