/** True for a host name or address that only this machine can reach, as written in a Host header or for listen(). */
export function isLoopback(host: string): boolean {
  return /^(?:localhost|127(?:\.\d{1,3}){3}|::1|\[::1\])$/i.test(host);
}
