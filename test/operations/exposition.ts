/** One metric as the text format of Prometheus has it. */
export interface Family {
  readonly name: string;
  readonly help: string;
  readonly type: string;
  /** By its name and labels, as they were written. */
  readonly values: ReadonlyMap<string, number>;
}

const NAME = '[a-zA-Z_:][a-zA-Z0-9_:]*';
const HELP = new RegExp(`^# HELP (${NAME}) (\\S.*)$`);
const TYPE = new RegExp(`^# TYPE (${NAME}) (counter|gauge|histogram|summary|untyped)$`);
const SAMPLE = new RegExp(`^(${NAME})(\\{.+\\})? (\\S+)$`);
const LABEL = '[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\\\\n]|\\\\["\\\\n])*"';
const LABELS = new RegExp(`^\\{${LABEL}(?:,${LABEL})*\\}$`);
const NUMBER = /^(?:[+-]?(?:\d+(?:\.\d+)?(?:e[+-]?\d+)?|inf)|nan)$/i;
/** What a histogram is made of. */
const PARTS = ['_bucket', '_sum', '_count'];

/**
 * Reads the text format of Prometheus, version 0.0.4, more strictly than Prometheus does: each metric has one HELP and one
 * TYPE, in this order, and all its samples right after them, each once.
 *
 * @throws Error with the line that is not like that
 */
export function parseExposition(text: string): Map<string, Family> {
  const families = new Map<string, Family>();
  const lines = text.split('\n');
  if (lines.pop() !== '') throw new Error('the last line does not end');
  let help: RegExpExecArray | null = null;
  let family: (Family & { values: Map<string, number> }) | undefined;
  for (const line of lines) {
    const fault = (what: string) => new Error(`${what}: ${line}`);
    const type = TYPE.exec(line);
    const sample = SAMPLE.exec(line);
    if (line === '') {
      family = undefined;
    } else if (HELP.test(line)) {
      if (help) throw fault('a HELP before has no TYPE');
      help = HELP.exec(line);
      family = undefined;
    } else if (type) {
      const [, name = '', kind = ''] = type;
      if (help?.[1] !== name) throw fault('there is no HELP before');
      if (families.has(name)) throw fault('it is there already');
      family = { name, help: help[2] ?? '', type: kind, values: new Map() };
      families.set(name, family);
      help = null;
    } else if (sample && family) {
      const [, name = '', labels = '', value = ''] = sample;
      const names = family.type === 'histogram' ? PARTS.map(part => `${family!.name}${part}`) : [family.name];
      if (!names.includes(name)) throw fault(`it is none of ${family.name}`);
      if (labels !== '' && !LABELS.test(labels)) throw fault('the labels are malformed');
      if (!NUMBER.test(value)) throw fault('the value is malformed');
      if (family.values.has(`${name}${labels}`)) throw fault('it is there already');
      family.values.set(`${name}${labels}`, Number(value.replace(/inf/i, 'Infinity')));
    } else {
      throw fault('it is nothing that belongs here');
    }
  }
  for (const each of families.values()) if (each.type === 'histogram') checkBuckets(each);
  return families;
}

function checkBuckets({ name, values }: Family): void {
  const last = new Map<string, { le: number; count: number }>();
  for (const [series, count] of values) {
    const labels = [...series.matchAll(/(\w+)="([^"]*)"/g)];
    const [bound] = labels.filter(([, label]) => label === 'le');
    if (!bound) continue;
    const others = labels.filter(label => label !== bound).join(',');
    const le = Number(bound[2]!.replace('Inf', 'Infinity'));
    const before = last.get(others);
    if (before && !(le > before.le && count >= before.count)) throw new Error(`out of order: ${series}`);
    last.set(others, { le, count });
  }
  const counts = [...values]
    .filter(([series]) => series.startsWith(`${name}_count`))
    .map(([, count]) => count);
  const ends = [...last.values()];
  if (ends.some(({ le }) => le !== Infinity) || String(ends.map(({ count }) => count)) !== String(counts)) {
    throw new Error(`the buckets of ${name} do not add up`);
  }
}
