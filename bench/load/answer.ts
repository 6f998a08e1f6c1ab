const EVENT = /"id":"[^".]+\.(\d+)","duplicate":(true|false)/g;
const STORED = /^\{"stored":(\d+),"last":"[^".]+\.(\d+)"\}$/;

/**
 * The seqs of a publish that nobody has made before.
 *
 * @throws Error when there are not so many, or one of them is said to be a duplicate
 */
export function seqsIn(answer: string, events: number): number[] {
  const seqs = [...answer.matchAll(EVENT)].map(([text, seq, duplicate]) => {
    if (duplicate === 'true') throw new Error(`a new event was answered as a duplicate: ${text}`);
    return Number(seq);
  });
  if (seqs.length !== events) {
    throw new Error(`${events} events were answered with ${seqs.length} ids: ${answer.slice(0, 200)}`);
  }
  return seqs;
}

/** What the answer to an upload says. @throws Error when it says nothing of the kind */
export function storedIn(answer: string): { stored: number; lastSeq: number } {
  const found = STORED.exec(answer);
  if (!found) throw new Error(`an upload was answered: ${answer.slice(0, 200)}`);
  return { stored: Number(found[1]), lastSeq: Number(found[2]) };
}
