import { BelfryError } from './belfry.error.js';

/** A JWT or an API key; a function is asked for another one when the server refuses the last. */
export type Token = string | (() => string | Promise<string>);

/** Asked for a ticket before each connection; a ticket is good for one. */
export type Ticket = () => string | Promise<string>;

/** The token of one user, asked for when it is needed and kept until the server does not want it any more. */
export class Credential {
  private held: Promise<string> | undefined;
  private user: string | undefined;

  constructor(private readonly source: Token | undefined) {}

  /** Whether asking again may bring another one. Cookies change by themselves. */
  get isFixed(): boolean {
    return typeof this.source === 'string';
  }

  get isCookie(): boolean {
    return this.source === undefined;
  }

  /** Of several that ask at once one asks the page. */
  async token(): Promise<string | undefined> {
    const { source } = this;
    if (typeof source !== 'function') return source;
    const held = (this.held ??= (async () => source())());
    let token: string;
    try {
      token = await held;
    } catch (error) {
      if (this.held === held) this.held = undefined;
      throw new BelfryError('credential', 'The callback for a token failed.', { cause: error });
    }
    if (this.user !== undefined && userOf(token) !== this.user) {
      throw new BelfryError('user-changed', 'The token is of another user: open another connection.');
    }
    return token;
  }

  /** From now on no token of another user is taken: what belongs to one must not be shown to the next. */
  bind(user: string): void {
    this.user = user;
  }

  /** @param token the one that was refused; another one that was got meanwhile stays */
  async drop(token: string | undefined): Promise<void> {
    const { held } = this;
    // A callback that failed is not held any more.
    if (held && (await held.catch(() => undefined)) === token && this.held === held) this.held = undefined;
  }
}

/** @returns tenant and user of a JWT, as text; undefined when it cannot be read. It is not verified: that is the server's work. */
export function userOf(token: string): string | undefined {
  const payload = token.split('.')[1];
  if (payload === undefined) return undefined;
  try {
    const bytes = Uint8Array.from(atob(payload.replace(/-/g, '+').replace(/_/g, '/')), c => c.charCodeAt(0));
    const { tenant, sub } = JSON.parse(new TextDecoder().decode(bytes)) as Record<string, unknown>;
    return typeof sub === 'string' ? JSON.stringify([tenant ?? 'default', sub]) : undefined;
  } catch {
    // An API key, or a token of another kind.
    return undefined;
  }
}
