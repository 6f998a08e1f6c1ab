import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { Child } from '../../bench/child.js';
import { findProgram, versionOf } from '../../bench/contenders/program.js';

describe('a program of a peer that the bench is given', () => {
  let folder: string;
  let file: string;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'belfry-program-'));
    file = join(folder, 'peer');
    await writeFile(file, '#!/bin/sh\necho peer 1.2\n', { mode: 0o755 });
  });
  afterEach(() => rm(folder, { recursive: true }));

  it('can be run in another folder than the one its path is relative to', async () => {
    const program = findProgram('peer', relative(process.cwd(), file)) ?? '';
    const child = await Child.start(program, [], { name: 'peer', folder });
    await child.prints(/peer 1\.2/);
    await child.end();
  });

  it('says its version', async () => {
    expect(await versionOf(findProgram('peer', file) ?? '', 'version')).toBe('peer 1.2');
  });

  it('is not there when it cannot be run', async () => {
    await writeFile(join(folder, 'text'), '');
    expect(findProgram('peer', join(folder, 'text'))).toBeUndefined();
    expect(findProgram('peer', join(folder, 'absent'))).toBeUndefined();
  });
});
