// @ts-check
import { nodeResolve } from '@rollup/plugin-node-resolve';
import { minify, transform } from '@swc/core';
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';

const PAGES = resolve('client/demo');

// The parser of event streams is under the same licence as the client, which wants to be named.
const BANNER = '/*! @belfry/client, with eventsource-parser by Espen Hovlandsdal. MIT. */';

const minified = {
  name: 'minify',
  /** @param {string} code */
  renderChunk: code =>
    minify(code, {
      module: true,
      sourceMap: true,
      compress: { ecma: 2020, passes: 2 },
      mangle: true,
      // The banner stays.
      format: { comments: 'some' },
    }),
};

/** The scripts of the pages are TypeScript, and what they import of the client has been compiled already. */
const pages = {
  name: 'pages',
  /** @param {string} source @param {string | undefined} importer */
  resolveId(source, importer) {
    if (importer === undefined || !importer.startsWith(PAGES) || !source.startsWith('.')) return null;
    const file = resolve(importer, '..', source);
    return file.startsWith(PAGES)
      ? file.replace(/\.js$/, '.ts')
      : file.replace(resolve('client/src'), resolve('client/dist'));
  },
  /** @param {string} code @param {string} id */
  transform: (code, id) =>
    id.endsWith('.ts')
      ? transform(code, { jsc: { target: 'es2022', parser: { syntax: 'typescript' } }, sourceMaps: true })
      : null,
  /** @this {import('rollup').PluginContext} */
  generateBundle() {
    for (const fileName of ['index.html', 'demo.css']) {
      this.emitFile({ type: 'asset', fileName, source: readFileSync(resolve(PAGES, fileName)) });
    }
  },
};

export default [
  {
    // The bell with all that it needs in one file, for a page without a bundler of its own.
    input: 'client/dist/bell/define.js',
    output: { file: 'client/dist/belfry-bell.js', format: 'es', sourcemap: true, banner: BANNER },
    plugins: [nodeResolve(), minified],
  },
  {
    input: 'client/demo/demo.ts',
    output: { dir: 'client/dist/demo', format: 'es', banner: BANNER },
    plugins: [pages, nodeResolve(), minified],
  },
];
