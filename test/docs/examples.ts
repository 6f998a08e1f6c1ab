import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';

/** The blocks under `<!-- name -->` of a document, as somebody would paste them one after the other. */
export function blocksOf(document: string, name: string, language = 'bash'): string {
  const text = readFileSync(document, 'utf8');
  const block = `^<!-- ${name} -->\\n+\`\`\`${language}\\n([^]*?)^\`\`\``;
  const found = [...text.matchAll(new RegExp(block, 'gm'))];
  return found.map(([, block]) => block).join('\n');
}

/** The programs that are not on this machine; says so, because what needs them is not tried out here. */
export function missingOf(document: string, programs: readonly string[]): string[] {
  const missing = programs.filter(program => spawnSync(program, ['--version']).error !== undefined);
  if (missing.length > 0) {
    process.stderr.write(
      `${document} is not tried out here: this machine has no ${missing.join(', no ')}.\n`,
    );
  }
  return missing;
}

export interface Result {
  readonly code: number | null;
  readonly output: string;
}

/** Runs a script in bash, in a folder; what it leaves running in the background ends with it. */
export async function bash(script: string, cwd: string, env: NodeJS.ProcessEnv = {}): Promise<Result> {
  const child = spawn('bash', ['-c', script], {
    cwd,
    env: { ...process.env, ...env },
    // Its own group, so that the background can be ended too.
    detached: true,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', text => (output += String(text)));
  const closed = once(child, 'close');
  const [code] = (await once(child, 'exit')) as [number | null];
  try {
    process.kill(-child.pid!, 'SIGKILL');
  } catch {
    // Nothing was left.
  }
  await closed;
  return { code, output };
}
