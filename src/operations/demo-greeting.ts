/** What demo mode prints once it listens: where it is, and a first event in three lines to paste into one shell. */
export function demoGreeting(address: string): string {
  const json = `-H 'Content-Type: application/json'`;
  return `
Belfry runs in demo mode at ${address} (a page with two users and their bells; API documentation: ${address}/docs).
Paste this for a first event:

  TOKEN=$(curl -s ${address}/demo/token ${json} -d '{"sub":"42","scope":"publish"}' | sed 's/.*"token":"\\([^"]*\\)".*/\\1/')
  curl -sN ${address}/v1/stream -H "Authorization: Bearer $TOKEN" & sleep 1
  curl -s ${address}/v1/events -H "Authorization: Bearer $TOKEN" ${json} -d '{"topic":"user:42","type":"greeting","data":{"text":"hello"}}'

`;
}
