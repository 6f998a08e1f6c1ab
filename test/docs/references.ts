import { existsSync, readFileSync } from 'node:fs';
import ts from 'typescript';

/** A test as a document names it. */
export interface Reference {
  readonly file: string;
  /** › leads from a group of tests into it. */
  readonly title: string;
}

const REFERENCE = /\[([^\]]+)\]\((?:\.\.\/)?\1\): `([^`]+)`/g;

/** The tests that a piece of Markdown names, as `[file](file): title`, the title in backticks; from a folder, as `../file`. */
export function referencesIn(markdown: string): Reference[] {
  return [...markdown.matchAll(REFERENCE)].map(([, file = '', title = '']) => ({ file, title }));
}

export function withoutReferences(markdown: string): string {
  return markdown.replace(REFERENCE, '');
}

/** Those that no test answers to. */
export function missingOf(references: readonly Reference[]): Reference[] {
  const titles = new Map<string, string[]>();
  return references.filter(({ file, title }) => {
    if (!titles.has(file)) titles.set(file, existsSync(file) ? titlesOf(file) : []);
    return !titles.get(file)!.some(path => path === title || path.endsWith(` › ${title}`));
  });
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
