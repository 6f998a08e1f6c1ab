/** Fewer distinct characters than this is a keyboard held down, not a random key (32 random hex digits have 14). */
const DISTINCT_CHARACTERS = 8;
/** A unit up to so many characters that repeats is not 32 bytes of secret, however often it is repeated. */
const REPEATED_UNIT = 16;
/** What has to be left once the words of examples and tutorials are taken out. */
const UNEXPECTED_CHARACTERS = 16;

const WORDS =
  /secret|changeme|change|password|default|example|please|insecure|production|belfry|super|admin|token|your|this|that|very|long|jwt|key|test|dev|my|me|is|an?(?=[^a-z])|qwerty|(?:0?123456789?0?)|[^a-z0-9]/g;

/**
 * True for a key that somebody would guess: the value of an example, one word again and again, one key held down.
 * It cannot tell a good key from a bad one, only stop a deployment that runs with the placeholder.
 */
export function isWeakSecret(secret: string): boolean {
  return (
    new Set(secret).size < DISTINCT_CHARACTERS ||
    repeats(secret) ||
    secret.toLowerCase().replace(WORDS, '').length < UNEXPECTED_CHARACTERS
  );
}

function repeats(secret: string): boolean {
  for (let unit = 1; unit <= REPEATED_UNIT; unit++) {
    if (secret.slice(unit) === secret.slice(0, -unit)) return true;
  }
  return false;
}
