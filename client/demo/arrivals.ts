import type { NotificationItem } from '../src/inbox.js';

/** Older lines are let go: the bell has them all. */
const AT_MOST = 60;

type Kind = 'live' | 'replayed' | 'cut' | 'back';

/** One time that the line was cut. */
interface Cut {
  readonly at: number;
  mendedAt: number;
  replayed: number;
  /** Says what the replay brought; there once the stream is up again. */
  summary?: HTMLElement;
}

/** The log of one person: what arrived, what of it was replayed, and when the line was cut and came back. */
export class Arrivals {
  private readonly time = new Intl.DateTimeFormat(undefined, { timeStyle: 'medium' });
  private cut: Cut | undefined;

  constructor(private readonly list: HTMLElement) {
    this.clear();
  }

  clear(): void {
    this.list.replaceChildren(element('li', 'hint', 'Nothing yet. Send something above.'));
  }

  lineCut(): void {
    this.cut = { at: Date.now(), mendedAt: Infinity, replayed: 0 };
    this.add('cut', 'Connection cut');
  }

  lineMended(): void {
    if (this.cut !== undefined) this.cut.mendedAt = Date.now();
  }

  /** The stream is up again; what was missed comes right behind this, or has come right before it. */
  back(): void {
    if (this.cut === undefined || this.cut.summary !== undefined) return;
    this.cut.summary = this.add('back', totalOf(this.cut));
  }

  arrived(item: NotificationItem): void {
    const { cut } = this;
    const at = Date.parse(item.at);
    // Service and page have one clock: in demo mode they are on one machine.
    const wasMissed = cut !== undefined && at >= cut.at && at < cut.mendedAt;
    const kind = wasMissed ? 'replayed' : 'live';
    this.add(kind, item.title, new Date(at)).after(element('b', '', kind));
    if (!wasMissed) return;
    cut.replayed += 1;
    if (cut.summary !== undefined) cut.summary.textContent = totalOf(cut);
  }

  /** @returns the element of the text */
  private add(kind: Kind, text: string, at = new Date()): HTMLElement {
    const entry = element('li', kind);
    const words = element('span', '', text);
    entry.append(element('time', '', this.time.format(at)), words);
    this.list.querySelector('.hint')?.remove();
    this.list.append(entry);
    while (this.list.children.length > AT_MOST) this.list.firstElementChild?.remove();
    this.list.scrollTop = this.list.scrollHeight;
    return words;
  }
}

function totalOf({ replayed }: Cut): string {
  if (replayed === 0) return 'Back: nothing was missed';
  return replayed === 1
    ? 'Back: the one that was missed is here'
    : `Back: all ${replayed} that were missed are here`;
}

function element(name: 'li' | 'span' | 'time' | 'b', className: string, text = ''): HTMLElement {
  const node = document.createElement(name);
  node.className = className;
  node.textContent = text;
  return node;
}
