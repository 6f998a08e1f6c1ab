/** Columns with a title each, as wide as what is in them, two spaces apart. */
export function table(titles: readonly string[], rows: readonly (readonly string[])[]): string[] {
  const widths = titles.map((title, column) =>
    Math.max(...[titles, ...rows].map(row => (row[column] ?? title).length)),
  );
  return [titles, ...rows].map(row =>
    row
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join('  ')
      .trimEnd(),
  );
}
