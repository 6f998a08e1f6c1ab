const GAP = 8;
/** Below this many pixels the other side is tried. */
const LEAST_HEIGHT = 320;

/**
 * Keeps an open panel at its bell while the window changes under it: on the side that `placement` names, or the other
 * one where there is more room, and lined up with the edge that it names.
 */
export class Anchor {
  private isHolding = false;

  constructor(
    private readonly bell: HTMLElement,
    private readonly panel: HTMLElement,
    private readonly placement: () => string | null,
  ) {}

  hold(): void {
    if (this.isHolding) return;
    this.isHolding = true;
    window.addEventListener('resize', this.place, { passive: true });
    // Any box around the bell may scroll, and only capture hears of it.
    document.addEventListener('scroll', this.place, { passive: true, capture: true });
    this.place();
  }

  release(): void {
    this.isHolding = false;
    window.removeEventListener('resize', this.place);
    document.removeEventListener('scroll', this.place, { capture: true });
  }

  private readonly place = (event?: Event): void => {
    // The panel's own list scrolls most of all, and moves nothing.
    if (event?.target instanceof Node && event.target !== document && !event.target.contains(this.bell))
      return;
    const bell = this.bell.getBoundingClientRect();
    const { clientWidth, clientHeight } = document.documentElement;
    const [side = 'bottom', edge = 'end'] = (this.placement() ?? '').split('-');
    const below = clientHeight - bell.bottom - 2 * GAP;
    const above = bell.top - 2 * GAP;
    const isAbove =
      side === 'top' ? above >= LEAST_HEIGHT || above > below : below < LEAST_HEIGHT && above > below;
    const isRtl = getComputedStyle(this.bell).direction === 'rtl';
    const width = this.panel.offsetWidth;
    const left = (edge === 'start') === isRtl ? bell.right - width : bell.left;
    const { style } = this.panel;
    style.left = `${Math.max(GAP, Math.min(left, clientWidth - width - GAP))}px`;
    style.maxHeight = `${Math.max(LEAST_HEIGHT / 2, isAbove ? above : below)}px`;
    style.top = isAbove ? 'auto' : `${bell.bottom + GAP}px`;
    style.bottom = isAbove ? `${clientHeight - bell.top + GAP}px` : 'auto';
    this.panel.dataset['side'] = isAbove ? 'top' : 'bottom';
  };
}
