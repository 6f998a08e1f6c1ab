/** Longest topic, in characters. */
export const TOPIC_LENGTH = 200;

/** The topic that everybody in a tenant is granted. It is the only one without a colon. */
export const ALL = 'all';

const CHARACTERS = '[A-Za-z0-9._~\\-/@|+=%]';
const TOPIC = new RegExp(`^${CHARACTERS}+:${CHARACTERS}+$`);
const KIND_WILDCARD = new RegExp(`^${CHARACTERS}+:\\*$`);

/** What a topic must look like, in the words of an error message. */
export const TOPIC_RULE =
  `a topic is kind:id, such as user:42, or "${ALL}": 1 to ${TOPIC_LENGTH} characters of ` +
  'A-Z a-z 0-9 . _ ~ - / @ | + = % and exactly one colon between kind and id';

/** True for a topic that an event can be published to: `kind:id` or `all`. */
export function isTopic(value: string): boolean {
  return value.length <= TOPIC_LENGTH && (value === ALL || TOPIC.test(value));
}

/** True for what a subscriber may ask for besides a topic: `kind:*` or `*`. */
export function isWildcard(value: string): boolean {
  return value === '*' || (value.length <= TOPIC_LENGTH && KIND_WILDCARD.test(value));
}

/** The part before the colon; of `all`, which has none, the empty string, so that no `kind:*` matches it. */
export function kindOf(topic: string): string {
  return topic.slice(0, Math.max(0, topic.indexOf(':')));
}

/**
 * The topic of a name that was not made for topics, such as a token's `sub` or a role. Characters outside the
 * topic alphabet are percent-encoded as UTF-8 (RFC 3986, section 2.1), and so is `%` itself: two different
 * names never share a topic.
 *
 * @throws URIError when the name holds a lone surrogate
 */
export function topicFor(kind: string, name: string): string {
  return `${kind}:${name.replace(/[^A-Za-z0-9._~\-/@|+=]/gu, encodeCharacter)}`;
}

function encodeCharacter(character: string): string {
  const encoded = encodeURIComponent(character);
  return encoded === character ? `%${character.charCodeAt(0).toString(16).toUpperCase()}` : encoded;
}
