import { describe, expect, it } from '@jest/globals';
import { existsSync, readFileSync } from 'node:fs';
import ts from 'typescript';

/** One paragraph or list item of PROTOCOL.md that obliges the service, and the tests that it names. */
interface Rule {
  readonly text: string;
  readonly tests: readonly { readonly file: string; readonly title: string }[];
}

const REFERENCE = /\[([^\]]+)\]\(\1\): `([^`]+)`/g;
const KEY_WORD = /\bMUST\b/;

/** Examples and the quoted key words of RFC 2119 oblige nobody. */
function rulesOf(markdown: string): Rule[] {
  return markdown
    .replace(/^```[^]*?^```$/gm, '')
    .replace(/"MUST(?: NOT)?"/g, '')
    .split(/\n(?=\s*[-*] )|\n\n+/)
    .filter(block => KEY_WORD.test(block) && !block.includes('Every MUST and MUST NOT binds'))
    .map(block => ({
      text: block.replace(REFERENCE, '').replaceAll('<br>', '').replace(/\s+/g, ' ').trim(),
      tests: [...block.matchAll(REFERENCE)].map(([, file = '', title = '']) => ({ file, title })),
    }));
}

/** The titles of a file's tests, each behind those of its groups; a skipped one shows nothing. */
function titlesOf(file: string): string[] {
  const source = ts.createSourceFile(file, readFileSync(file, 'utf8'), ts.ScriptTarget.Latest);
  const titles: string[] = [];
  const visit = (node: ts.Node, groups: readonly string[]): void => {
    let inside = groups;
    if (ts.isCallExpression(node)) {
      const [title] = node.arguments;
      const name = callee(node.expression);
      if (title && ts.isStringLiteralLike(title)) {
        if (name === 'describe') inside = [...groups, title.text];
        else if (name === 'it') titles.push([...groups, title.text].join(' › '));
      }
    }
    ts.forEachChild(node, child => {
      visit(child, inside);
    });
  };
  visit(source, []);
  return titles;
}

/** `it` for `it(…)` and for the call behind `it.each(…)`; undefined for `it.skip` and whatever else is called. */
function callee(expression: ts.Expression): string | undefined {
  if (ts.isIdentifier(expression)) return expression.text;
  if (!ts.isCallExpression(expression) || !ts.isPropertyAccessExpression(expression.expression))
    return undefined;
  const { name, expression: root } = expression.expression;
  return name.text === 'each' && ts.isIdentifier(root) ? root.text : undefined;
}

describe('PROTOCOL.md', () => {
  const rules = rulesOf(readFileSync('PROTOCOL.md', 'utf8'));

  it('has rules', () => {
    expect(rules.length).toBeGreaterThan(50);
  });

  it('names a test for every MUST', () => {
    expect(rules.filter(({ tests }) => tests.length === 0).map(({ text }) => text)).toEqual([]);
  });

  it('names tests that exist', () => {
    const titles = new Map<string, string[]>();
    const missing = rules
      .flatMap(({ tests }) => tests)
      .filter(({ file, title }) => {
        if (!titles.has(file)) titles.set(file, existsSync(file) ? titlesOf(file) : []);
        return !titles.get(file)!.some(path => path === title || path.endsWith(` › ${title}`));
      });
    expect(missing).toEqual([]);
  });
});

describe('the check of rules', () => {
  it('notices a rule without a test, and not the words of an example', () => {
    const markdown =
      '"MUST" is a word.\n\n- It MUST be.\n  [a](a): `b`\n- It\n  MUST NOT.\n\n```\nMUST\n```\n';
    expect(rulesOf(markdown)).toEqual([
      { text: '- It MUST be.', tests: [{ file: 'a', title: 'b' }] },
      { text: '- It MUST NOT.', tests: [] },
    ]);
  });
});
