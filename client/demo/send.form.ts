import { signIn } from './sign.in.js';

/** A body of `POST /v1/notifications`, as far as the form fills it in. */
interface Notification {
  readonly to: string;
  readonly type: string;
  readonly title: string;
  readonly body?: string;
  readonly icon?: string;
  readonly url?: string;
  readonly priority: string;
}

const PRESETS: Readonly<Record<string, Omit<Notification, 'to'>>> = {
  comment: {
    type: 'comment.created',
    title: 'Linus commented on “Roadmap”',
    body: 'Could we ship the new onboarding a week earlier? I think most of it is ready.',
    icon: '💬',
    priority: 'normal',
  },
  invoice: {
    type: 'invoice.paid',
    title: 'Invoice 2041 was paid',
    body: 'Northwind paid €1,280.00.',
    icon: '💶',
    url: '/docs',
    priority: 'low',
  },
  deploy: {
    type: 'deploy.finished',
    title: 'api 4.12 is in production',
    body: 'Rolled out to 12 of 12 instances in 3 minutes.',
    icon: '🚀',
    priority: 'normal',
  },
  incident: {
    type: 'incident.opened',
    title: 'Checkout answers slowly',
    body: 'p99 is at 4.2 s since 10:04. Who is on call, please take a look.',
    priority: 'urgent',
  },
};

/** The form, and beside it the request that it makes. */
export class SendForm {
  private preset = PRESETS['comment'];
  private token: Promise<string> | undefined;

  constructor(
    private readonly form: HTMLFormElement,
    private readonly outcome: HTMLElement,
    private readonly shownRequest: HTMLElement,
  ) {
    for (const chip of form.querySelectorAll<HTMLElement>('[data-preset]')) {
      chip.addEventListener('click', () => {
        this.fill(chip.dataset['preset'] ?? '');
      });
    }
    form.addEventListener('input', () => {
      this.showRequest();
    });
    form.addEventListener('submit', event => {
      event.preventDefault();
      void this.send([this.read()]);
    });
    form.querySelector('#five')?.addEventListener('click', () => {
      if (!form.reportValidity()) return;
      const one = this.read();
      void this.send([1, 2, 3, 4, 5].map(n => ({ ...one, title: `${one.title} (${n} of 5)` })));
    });
    this.fill('comment');
  }

  private fill(name: string): void {
    this.preset = PRESETS[name];
    const { title = '', body = '', priority = 'normal' } = this.preset ?? {};
    for (const [field, value] of Object.entries({ title, body, priority })) {
      const control = this.form.elements.namedItem(field) as HTMLInputElement;
      control.value = value;
    }
    for (const chip of this.form.querySelectorAll<HTMLElement>('[data-preset]'))
      chip.setAttribute('aria-pressed', `${chip.dataset['preset'] === name}`);
    this.showRequest();
  }

  private read(): Notification {
    const fields = new FormData(this.form);
    const text = (name: string): string => (fields.get(name) as string).trim();
    const { type = 'demo.message', icon, url } = this.preset ?? {};
    return {
      to: text('to'),
      type,
      title: text('title'),
      ...(text('body') === '' ? {} : { body: text('body') }),
      ...(icon === undefined ? {} : { icon }),
      ...(url === undefined ? {} : { url }),
      priority: text('priority'),
    };
  }

  private showRequest(): void {
    // In single quotes of a shell a quote ends them, is said by itself, and begins them again.
    const json = JSON.stringify(this.read(), null, 2).replaceAll("'", `'\\''`);
    this.shownRequest.textContent = `curl ${location.origin}/v1/notifications \\
  -H "Authorization: Bearer $TOKEN" -H 'Content-Type: application/json' \\
  -d '${json}'`;
  }

  /** One after the other: the order they are sent in is the order everybody sees. */
  private async send(notifications: readonly Notification[]): Promise<void> {
    try {
      for (const notification of notifications) await this.post(notification);
      this.say(notifications.length === 1 ? 'Sent.' : `Sent all ${notifications.length}.`);
    } catch (error) {
      this.say(error instanceof Error ? error.message : String(error), true);
    }
  }

  private async post(notification: Notification, isAgain = false): Promise<void> {
    const token = await (this.token ??= signIn({ sub: 'demo-backend', scope: 'inbox' }));
    const answer = await fetch('/v1/notifications', {
      method: 'POST',
      headers: { 'Content-Type': 'application/json', Authorization: `Bearer ${token}` },
      body: JSON.stringify(notification),
    });
    if (answer.ok) return;
    if (answer.status === 401 && !isAgain) {
      // An hour has passed.
      this.token = undefined;
      return this.post(notification, true);
    }
    const { detail } = (await answer.json().catch(() => ({}))) as { detail?: string };
    throw new Error(detail ?? `The service answered ${answer.status}.`);
  }

  private say(text: string, isFailure = false): void {
    this.outcome.textContent = text;
    this.outcome.toggleAttribute('data-failed', isFailure);
  }
}
