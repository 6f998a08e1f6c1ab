import { Injectable, Logger } from '@nestjs/common';

/** Whether one part works, and what else an operator wants to know about it. Public: no secrets, no addresses. */
export interface CheckResult {
  readonly ok: boolean;
  readonly [detail: string]: unknown;
}

type Check = () => Promise<CheckResult> | CheckResult;

interface Report {
  readonly status: 'ok' | 'unavailable' | 'draining';
  readonly checks: Readonly<Record<string, CheckResult>>;
}

/** A check that takes longer has failed, in milliseconds: a probe must answer while the database does not. */
const CHECK_DEADLINE_MS = 2000;

/**
 * Whether this instance should be sent requests. The parts that can fail register themselves, so that this knows
 * none of them. Once draining, it never becomes ready again.
 */
@Injectable()
export class Readiness {
  private readonly logger = new Logger(Readiness.name);
  private readonly checks = new Map<string, Check>();
  private draining = false;

  /** Adds a part to the report, or replaces it. */
  register(name: string, check: Check): void {
    this.checks.set(name, check);
  }

  /** From now on load balancers are told to go elsewhere, while what is open finishes. */
  drain(): void {
    this.draining = true;
  }

  async report(): Promise<Report> {
    const results = await Promise.all(
      [...this.checks].map(async ([name, check]) => [name, await this.run(name, check)] as const),
    );
    const healthy = results.every(([, result]) => result.ok);
    return {
      status: this.draining ? 'draining' : healthy ? 'ok' : 'unavailable',
      checks: Object.fromEntries(results),
    };
  }

  private async run(name: string, check: Check): Promise<CheckResult> {
    let timer: NodeJS.Timeout | undefined;
    const deadline = new Promise<CheckResult>(resolve => {
      timer = setTimeout(resolve, CHECK_DEADLINE_MS, { ok: false, error: 'no answer in time' });
    });
    try {
      return await Promise.race([Promise.resolve().then(check), deadline]);
    } catch (err) {
      this.logger.warn({ err, msg: `readiness check ${name} failed` });
      return { ok: false, error: 'the check failed' };
    } finally {
      clearTimeout(timer);
    }
  }
}
