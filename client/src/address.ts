/**
 * @param url where Belfry is; in a page it may be relative to it
 * @param path such as `v1/stream`
 */
export function endpoint(url: string | URL, path: string): URL {
  const base = new URL(url, typeof document === 'undefined' ? undefined : document.baseURI);
  if (!base.pathname.endsWith('/')) base.pathname += '/';
  return new URL(path, base);
}
