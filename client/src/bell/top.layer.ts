/**
 * Shows an element over everything, where no box of the page clips or covers it. In a browser without popovers it is
 * where the style puts it, which is fixed and high.
 */
export function raise(element: HTMLElement): void {
  if (element.isConnected && isPopover(element) && !element.matches(':popover-open')) element.showPopover();
}

export function lower(element: HTMLElement): void {
  if (element.isConnected && isPopover(element) && element.matches(':popover-open')) element.hidePopover();
}

function isPopover(element: Partial<HTMLElement>): boolean {
  return element.showPopover !== undefined;
}
