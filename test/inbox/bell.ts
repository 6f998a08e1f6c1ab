import { type Answer, type Claims, type Instance, tokenFor } from '../support/instance.js';

/** What one user does with the inbox, over HTTP. */
export class Bell {
  private constructor(
    private readonly at: Instance,
    private readonly token: string,
  ) {}

  static async of(at: Instance, claims: Claims = {}): Promise<Bell> {
    return new Bell(at, await tokenFor(claims));
  }

  async list(query = ''): Promise<Page> {
    return (await this.ask('GET', `/v1/inbox${query}`)).json as Page;
  }

  async titles(query = ''): Promise<string[]> {
    return (await this.list(query)).items.map(({ title }) => title);
  }

  async counts(): Promise<Counts> {
    return (await this.ask('GET', '/v1/inbox/counts')).json as Counts;
  }

  touch(id: string, change: object): Promise<Answer> {
    return this.ask('PATCH', `/v1/inbox/${id}`, change);
  }

  mark(change: object): Promise<Answer> {
    return this.ask('POST', '/v1/inbox/mark', change);
  }

  ask(method: string, path: string, body?: object): Promise<Answer> {
    return this.at.request(method, path, { token: this.token, ...(body && { body }) });
  }
}

export interface Counts {
  readonly unread: number;
  readonly unseen: number;
  readonly asOf: string;
}

interface Item {
  readonly id: string;
  readonly topic: string;
  readonly type: string;
  readonly title: string;
  readonly data: unknown;
  readonly read: boolean;
  readonly seen: boolean;
  readonly archived: boolean;
  readonly snoozedUntil: string | null;
}

export interface Page {
  readonly items: Item[];
  readonly counts: Counts;
  readonly cursor: string;
  readonly more: boolean;
}

/** Sends notifications as a backend does. */
export async function send(
  at: Instance,
  body: object,
  headers: Record<string, string> = {},
): Promise<Answer> {
  return at.request('POST', '/v1/notifications', { token: await backend(), body, headers });
}

/** Sends one of a type `t`; its id. */
export async function notify(at: Instance, to: string, title: string, more: object = {}): Promise<string> {
  const answer = await send(at, { to, type: 't', title, ...more });
  if (answer.status !== 201) throw new Error(`it was not sent: ${answer.text}`);
  return (answer.json as { ids: string[] }).ids[0]!;
}

export async function retract(at: Instance, id: string): Promise<Answer> {
  return at.request('DELETE', `/v1/notifications/${id}`, { token: await backend() });
}

export function backend(tenant?: string): Promise<string> {
  return tokenFor({ sub: 'backend', scope: 'inbox publish', ...(tenant !== undefined && { tenant }) });
}
