/** Whom the demo signs in as; `POST /demo/token` signs anything for anyone, on this machine only. */
export interface Claims {
  readonly sub: string;
  readonly roles?: readonly string[];
  readonly scope?: string;
}

/** @throws Error with a sentence for the page */
export async function signIn(claims: Claims): Promise<string> {
  const answer = await fetch('/demo/token', {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify(claims),
  });
  if (!answer.ok) throw new Error(`Signing in as ${claims.sub} failed with status ${answer.status}.`);
  return ((await answer.json()) as { token: string }).token;
}
