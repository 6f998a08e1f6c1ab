import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { rawMembers } from '../../src/events/raw.json.js';

const SPACES = ['', ' ', '\n', '\t', '\r\n', '  '];
/** The same name, written in different ways. */
const SPELLINGS = new Map([
  ['data', ['"data"', String.raw`"d\u0061ta"`, String.raw`"\u0064\u0061\u0074\u0061"`]],
  ['events', ['"events"', String.raw`"\u0065vents"`]],
]);

/** Writes JSON with any space between its tokens, and names spelled in any way. */
class Writer {
  private position = 0;

  constructor(private readonly choices: readonly number[]) {}

  value(value: unknown): string {
    if (Array.isArray(value)) return this.list(value.map(element => this.value(element)));
    if (typeof value === 'object' && value !== null) {
      return this.object(Object.entries(value).map(([name, member]) => [name, this.value(member)]));
    }
    return this.spaced(JSON.stringify(value));
  }

  list(elements: readonly string[]): string {
    return this.spaced(`[${elements.join(',') || this.spaced('')}]`);
  }

  object(members: readonly (readonly [name: string, text: string])[]): string {
    const list = members.map(([name, text]) => `${this.spaced(this.name(name))}:${text}`);
    return this.spaced(`{${list.join(',') || this.spaced('')}}`);
  }

  private name(name: string): string {
    const spellings = SPELLINGS.get(name) ?? [JSON.stringify(name)];
    return spellings[this.choose() % spellings.length]!;
  }

  private spaced(token: string): string {
    return SPACES[this.choose() % SPACES.length]! + token + SPACES[this.choose() % SPACES.length]!;
  }

  private choose(): number {
    return this.choices[this.position++ % this.choices.length]!;
  }
}

function depthOf(value: unknown): number {
  if (typeof value !== 'object' || value === null) return 0;
  return 1 + Math.max(0, ...Object.values(value).map(depthOf));
}

const anyValue = fc.oneof(
  fc.jsonValue({ maxDepth: 4 }),
  fc.string({ unit: fc.constantFrom('"', '\\', '\u0000', '\ud800', '{', ']', ',', 'u', '\n', '😀') }),
  fc.double({ noNaN: true, noDefaultInfinity: true }),
);
const anyName = fc.oneof(
  { weight: 3, arbitrary: fc.constantFrom('data', 'events', 'topic', 'Data', 'data ', '__proto__', '') },
  { weight: 1, arbitrary: fc.string() },
);
/** Members in order; names may repeat. */
const anyMembers = fc.array(fc.tuple(anyName, anyValue), { maxLength: 6 });
const anyChoices = fc.array(fc.nat(1_000), { minLength: 1, maxLength: 40 });

/** What the service does with a body before it looks for the texts. */
function eventsOf(body: unknown): unknown[] {
  if (Array.isArray(body)) return body;
  if (typeof body === 'object' && body !== null && Object.hasOwn(body, 'events')) {
    const { events } = body as { events: unknown };
    return Array.isArray(events) ? events : [];
  }
  return [body];
}

function expectSame(text: string): void {
  const events = eventsOf(JSON.parse(text));
  const found = rawMembers(text, 'data');
  expect(found).toHaveLength(events.length);
  events.forEach((event, index) => {
    const isObject = typeof event === 'object' && event !== null && !Array.isArray(event);
    const raw = found[index];
    if (!isObject || !Object.hasOwn(event, 'data')) {
      expect(raw).toBeUndefined();
      return;
    }
    const { data } = event as { data: unknown };
    expect(JSON.stringify(JSON.parse(raw!.text))).toBe(JSON.stringify(data));
    expect(raw!.text).toBe(raw!.text.trim());
    expect(raw!.depth).toBe(depthOf(data));
  });
}

describe('the text of "data"', () => {
  it('is found in any event', () => {
    fc.assert(
      fc.property(anyMembers, anyChoices, (members, choices) => {
        const writer = new Writer(choices);
        expectSame(writer.object(members.map(([name, value]) => [name, writer.value(value)])));
      }),
      { numRuns: 1_500 },
    );
  });

  it('is found in any list of events, whatever else is in the list', () => {
    const anyElement = fc.oneof(
      anyMembers,
      anyMembers,
      anyValue.map(value => ({ value })),
    );
    fc.assert(
      fc.property(
        fc.array(anyElement, { maxLength: 5 }),
        fc.boolean(),
        anyChoices,
        (elements, wrapped, choices) => {
          const writer = new Writer(choices);
          const list = writer.list(
            elements.map(element =>
              Array.isArray(element)
                ? writer.object(element.map(([name, value]) => [name, writer.value(value)]))
                : writer.value(element.value),
            ),
          );
          expectSame(
            wrapped
              ? writer.object([
                  ['data', '1'],
                  ['events', list],
                  ['x', '[]'],
                ])
              : list,
          );
        },
      ),
      { numRuns: 1_500 },
    );
  });

  it('has its depth counted, not that of brackets in strings', () => {
    const depth = (data: string) => rawMembers(`{"data":${data}}`, 'data')[0]!.depth;
    expect(['1', '"[[["', '[]', '{"[":"]"}', '[[],[[]]]', String.raw`["\"[",{"a":[]}]`].map(depth)).toEqual([
      0, 0, 1, 1, 3, 3,
    ]);
  });

  it('is found in time that grows with the text alone', () => {
    const text = `[${Array(2_000)
      .fill(`{"data":"${'\\\\'.repeat(500)}\\""}`)
      .join(',')}]`;
    expect(rawMembers(text, 'data')).toHaveLength(2_000);
  });
});
