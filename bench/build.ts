import { existsSync, rmSync } from 'node:fs';
import { cp, mkdir } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';

export const ROOT = new URL('../../', import.meta.url);

/**
 * The built service as it was when the run began: whoever builds meanwhile would change what is measured. The copy lies
 * inside the project, where it finds the same packages.
 */
export class Build {
  private constructor(private readonly folder: URL) {}

  static async copy(): Promise<Build> {
    if (!existsSync(new URL('dist/main.js', ROOT))) {
      throw new Error('There is no dist/main.js: run npm run build.');
    }
    const build = new Build(new URL(`.bench/service-${process.pid}/`, ROOT));
    await mkdir(build.folder, { recursive: true });
    for (const name of ['dist', 'migrations', 'package.json']) {
      await cp(new URL(name, ROOT), new URL(name, build.folder), { recursive: true });
    }
    return build;
  }

  /** The script that starts it. */
  get main(): string {
    return fileURLToPath(new URL('dist/main.js', this.folder));
  }

  remove(): void {
    rmSync(this.folder, { recursive: true, force: true });
  }
}
