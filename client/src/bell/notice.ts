import { Countdown } from './countdown.js';
import { element, setText } from './node.js';

const STAYS_MS = 8_000;

/** One line at the foot of the panel that says what was just done, and offers to undo it. */
export class Notice {
  readonly element: HTMLDivElement;
  private readonly bar: HTMLDivElement;
  private readonly text = element('span');
  private readonly button: HTMLButtonElement;
  private countdown: Countdown | undefined;
  private undo: (() => void) | undefined;

  constructor(undoText: string) {
    this.button = element('button', { type: 'button', class: 'text-button' }, undoText);
    this.button.addEventListener('click', () => {
      const { undo } = this;
      this.clear();
      undo?.();
    });
    // The live region stays when the bar goes: one that comes with its text is not spoken.
    this.bar = element('div', { class: 'notice', hidden: true }, this.text, this.button);
    this.element = element('div', { role: 'status' }, this.bar);
    this.bar.addEventListener('pointerenter', () => this.countdown?.hold());
    this.bar.addEventListener('pointerleave', () => this.countdown?.run());
    this.bar.addEventListener('focusin', () => this.countdown?.hold());
    this.bar.addEventListener('focusout', () => this.countdown?.run());
  }

  say(text: string, undo?: () => void): void {
    this.countdown?.stop();
    this.undo = undo;
    setText(this.text, text);
    this.button.hidden = undo === undefined;
    this.bar.hidden = false;
    this.countdown = new Countdown(STAYS_MS, () => {
      this.clear();
    });
    this.countdown.run();
  }

  clear(): void {
    this.countdown?.stop();
    this.undo = undefined;
    this.bar.hidden = true;
    setText(this.text, '');
  }
}
