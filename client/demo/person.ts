import type { BelfryBell } from '../src/bell/define.js';
import { Inbox } from '../src/inbox.js';
import { Arrivals } from './arrivals.js';
import { signIn } from './sign.in.js';
import { Wire } from './wire.js';

export interface Profile {
  readonly sub: string;
  readonly name: string;
  readonly roles: readonly string[];
}

/** One of the two: a card with a bell on a line that can be cut. */
export class Person {
  readonly element: HTMLElement;
  private readonly wire = new Wire();
  private readonly arrivals: Arrivals;
  private readonly inbox: Inbox;

  constructor(
    private readonly profile: Profile,
    template: HTMLTemplateElement,
  ) {
    const { sub, name, roles } = profile;
    this.element = (template.content.cloneNode(true) as DocumentFragment).firstElementChild as HTMLElement;
    this.element.dataset['person'] = sub;
    this.element.setAttribute('aria-labelledby', `name-${sub}`);
    this.part('h2').id = `name-${sub}`;
    this.part('h2').textContent = name;
    this.part('.avatar').textContent = name.slice(0, 1);
    this.part('.roles').textContent = roles.map(role => `role:${role}`).join(' · ');
    this.part('.log').setAttribute('aria-label', `What arrived at ${name}`);
    this.part('.switch b').textContent = `${name} is connected`;
    this.arrivals = new Arrivals(this.part('.log'));
    this.inbox = new Inbox({
      url: location.origin,
      token: () => signIn({ sub, roles }),
      // Each of the two has a line of his own to cut.
      shared: false,
      fetch: this.wire.fetch,
    });
    this.bell.words = {
      title: `${name}’s inbox`,
      bell: (n, shown) => `${name}’s notifications, ${n === 0 ? 'none' : shown} unread`,
    };
    this.bell.inbox = this.inbox;
    this.listen();
  }

  get bell(): BelfryBell {
    return this.part('belfry-bell') as BelfryBell;
  }

  private listen(): void {
    this.inbox.onNotification(item => {
      this.arrivals.arrived(item);
    });
    this.inbox.subscribe(({ online }) => {
      if (online) this.arrivals.back();
      this.showStatus();
    });
    this.part('.clear').addEventListener('click', () => {
      this.arrivals.clear();
    });
    const plug = this.part('input') as HTMLInputElement;
    // A browser remembers how it was left, and the line begins whole.
    plug.checked = true;
    plug.addEventListener('change', () => {
      if (plug.checked) {
        this.arrivals.lineMended();
        this.wire.mend();
      } else {
        this.wire.cut();
        this.arrivals.lineCut();
      }
      this.showStatus();
    });
    this.showStatus();
  }

  private showStatus(): void {
    const { online, status } = this.inbox.state;
    const shown = this.wire.isCut ? 'cut' : online ? 'live' : status === 'loading' ? 'connecting' : 'waiting';
    this.element.dataset['line'] = shown;
    this.part('.status span').textContent = {
      cut: 'Connection cut',
      live: 'Live',
      connecting: 'Connecting…',
      waiting: 'Reconnecting…',
    }[shown];
  }

  private part(selector: string): HTMLElement {
    const found = this.element.querySelector<HTMLElement>(selector);
    if (found === null) throw new Error(`The template has no ${selector} for ${this.profile.name}.`);
    return found;
  }
}
