const SVG = 'http://www.w3.org/2000/svg';

/** Drawn on a grid of 24, with lines. */
const PATHS = {
  bell: 'M18 9a6 6 0 0 0-12 0c0 6-2.5 7.5-2.5 7.5h17S18 15 18 9M10 20.5a2.3 2.3 0 0 0 4 0',
  dot: 'M12 8a4 4 0 1 0 0 8 4 4 0 1 0 0-8',
  check: 'm5 12.5 4.5 4.5L19 7.5',
  archive: 'M4 8.5V19h16V8.5M3 4.5h18v4H3zM10 12.5h4',
  unarchive: 'M4 8.5V19h16V8.5M3 4.5h18v4H3zM12 17v-5m-2.2 2 2.2-2.2 2.2 2.2',
  clock: 'M12 3.5a8.5 8.5 0 1 0 0 17 8.5 8.5 0 1 0 0-17M12 7.5V12l3 2',
  close: 'm6 6 12 12M18 6 6 18',
  cloud: 'M3 3l18 18M9.5 5.6A6.5 6.5 0 0 1 18 11a4.3 4.3 0 0 1 2.6 6.7M17 19H7a4.8 4.8 0 0 1-1.2-9.4',
  alert: 'M12 4 2.8 19.5h18.4zM12 10v4.5m0 2.6v.1',
} as const;

export type IconName = keyof typeof PATHS;

export function icon(name: IconName): SVGSVGElement {
  const svg = document.createElementNS(SVG, 'svg');
  svg.setAttribute('viewBox', '0 0 24 24');
  svg.setAttribute('aria-hidden', 'true');
  const path = document.createElementNS(SVG, 'path');
  path.setAttribute('d', PATHS[name]);
  svg.append(path);
  return svg;
}
