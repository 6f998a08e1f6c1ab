// @ts-check
import { nodeResolve } from '@rollup/plugin-node-resolve';
import { minify } from '@swc/core';

/** The bell with all that it needs in one file, for a page without a bundler of its own. */
export default {
  input: 'client/dist/bell/define.js',
  output: {
    file: 'client/dist/belfry-bell.js',
    format: 'es',
    sourcemap: true,
    // The parser of event streams is under the same licence as the client, which wants to be named.
    banner: '/*! @belfry/client, with eventsource-parser by Espen Hovlandsdal. MIT. */',
  },
  plugins: [
    nodeResolve(),
    {
      name: 'minify',
      /** @param {string} code */
      renderChunk: code =>
        minify(code, { module: true, sourceMap: true, compress: { ecma: 2020 }, mangle: true }),
    },
  ],
};
