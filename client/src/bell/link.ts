/**
 * Where a notification leads, or undefined when that is no place to send a browser to. The server lets http, https and
 * paths pass; it is asked again here, because a link runs with the rights of the page it is on.
 */
export function safeUrl(url: string | null | undefined, base: string): string | undefined {
  if (url === null || url === undefined || !/^(?:https?:\/\/|\/(?![/\\]))/i.test(url)) return undefined;
  if (!URL.canParse(url, base)) return undefined;
  // As the browser will read it: its parser leaves out tabs and newlines, and turns backslashes around.
  const parsed = new URL(url, base);
  return parsed.protocol === 'http:' || parsed.protocol === 'https:' ? parsed.href : undefined;
}
