/** The text of a value inside a JSON text, and how deep it nests: 0 for a scalar, 1 for `[]`. */
export interface RawValue {
  readonly text: string;
  readonly depth: number;
}

/**
 * Finds the text of members without parsing them again: what is published is stored to the letter, and a value
 * that goes through JSON.parse and JSON.stringify does not come back to the letter (12345678901234567890, 1e200000,
 * 1.0, "\ud800").
 *
 * @param text valid JSON; nothing is checked here
 * @param name of the member looked for in each event
 * @param list the member that holds the events when there are several
 * @returns for each event of the text (an event, an array of them, or `{"events": […]}`) its member, when it has one
 */
export function rawMembers(text: string, name: string, list = 'events'): (RawValue | undefined)[] {
  const scanner = new Scanner(text);
  if (scanner.peek() === '[') return scanner.elements(() => scanner.member(name));
  const start = scanner.position;
  let nested: number | undefined;
  scanner.members(key => {
    if (key === list) nested = scanner.position;
    scanner.skipValue();
  });
  if (nested === undefined) {
    scanner.position = start;
    return [scanner.member(name)];
  }
  scanner.position = nested;
  return scanner.peek() === '[' ? scanner.elements(() => scanner.member(name)) : [];
}

/** Walks over valid JSON (RFC 8259). Its position is always at a token or at the space before one. */
class Scanner {
  position = 0;

  constructor(private readonly text: string) {}

  /** The first character of the next token. */
  peek(): string {
    for (;;) {
      const character = this.text.charAt(this.position);
      if (character !== ' ' && character !== '\n' && character !== '\r' && character !== '\t')
        return character;
      this.position++;
    }
  }

  /** Reads an array; `read` has to consume one element. */
  elements<Element>(read: () => Element): Element[] {
    const elements: Element[] = [];
    this.position++;
    while (this.peek() !== ']') {
      elements.push(read());
      if (this.peek() === ',') this.position++;
    }
    this.position++;
    return elements;
  }

  /** Reads an object; `read` has to consume the value of each member. */
  members(read: (key: string) => void): void {
    this.position++;
    while (this.peek() !== '}') {
      const start = this.position;
      this.skipString();
      const key = this.text.slice(start, this.position);
      this.peek();
      this.position++;
      this.peek();
      read(key.includes('\\') ? (JSON.parse(key) as string) : key.slice(1, -1));
      if (this.peek() === ',') this.position++;
    }
    this.position++;
  }

  /** Consumes a value and returns its member, when it is an object that has it; the last one, as JSON.parse does. */
  member(name: string): RawValue | undefined {
    let found: RawValue | undefined;
    if (this.peek() !== '{') {
      this.skipValue();
      return undefined;
    }
    this.members(key => {
      const start = this.position;
      const depth = this.skipValue();
      if (key === name) found = { text: this.text.slice(start, this.position), depth };
    });
    return found;
  }

  /** @returns how deep the value nests */
  skipValue(): number {
    const first = this.peek();
    if (first === '"') {
      this.skipString();
      return 0;
    }
    if (first !== '[' && first !== '{') {
      this.skipScalar();
      return 0;
    }
    let depth = 0;
    let deepest = 0;
    do {
      switch (this.text.charAt(this.position)) {
        case '"':
          this.skipString();
          continue;
        case '[':
        case '{':
          deepest = Math.max(deepest, ++depth);
          break;
        case ']':
        case '}':
          depth--;
          break;
      }
      this.position++;
    } while (depth > 0);
    return deepest;
  }

  private skipString(): void {
    let end = this.position;
    let backslashes: number;
    do {
      end = this.text.indexOf('"', end + 1);
      backslashes = 0;
      while (this.text.charAt(end - 1 - backslashes) === '\\') backslashes++;
    } while (backslashes % 2 === 1);
    this.position = end + 1;
  }

  private skipScalar(): void {
    while (/[^\s,\]}]/.test(this.text.charAt(this.position))) this.position++;
  }
}
