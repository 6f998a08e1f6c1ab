import { nodeResolve } from '@rollup/plugin-node-resolve';
import { transform } from '@swc/core';
import { type Plugin, rollup } from 'rollup';
import { type CompilerOptions, compileScript, parse } from 'vue/compiler-sfc';

import { reactScript } from './react.page.js';

/** React is not a module: it is on the page already, as `require('react')`. */
const REACT = /^react(?:-dom)?(?:\/|$)/;

const typescript: Plugin = {
  name: 'typescript',
  transform: (code, id) =>
    id.endsWith('.tsx')
      ? transform(code, {
          jsc: {
            target: 'es2022',
            parser: { syntax: 'typescript', tsx: true },
            transform: { react: { runtime: 'automatic' } },
          },
        })
      : null,
};

function components(compilerOptions: CompilerOptions): Plugin {
  return {
    name: 'components of Vue',
    transform: (code, id) => {
      if (!id.endsWith('.vue')) return null;
      const { descriptor, errors } = parse(code, { filename: id, templateParseOptions: compilerOptions });
      if (errors.length > 0) throw errors[0]!;
      const options = { id: 'app', inlineTemplate: true, templateOptions: { compilerOptions } };
      return { code: compileScript(descriptor, options).content, map: null };
    },
  };
}

async function bundle(input: string, plugin: Plugin, format: 'cjs' | 'es', intro: string): Promise<string> {
  const made = await rollup({
    input,
    external: id => format === 'cjs' && REACT.test(id),
    plugins: [plugin, nodeResolve({ browser: true, extensions: ['.mjs', '.js', '.tsx'] })],
    onwarn: warning => {
      // What Vue's own modules say of each other is nothing that an app could change.
      if (!/node_modules\/@?vue/.test(warning.id ?? warning.ids?.[0] ?? ''))
        throw new Error(`${input}: ${warning.message}`);
    },
  });
  const { output } = await made.generate({ format, intro, inlineDynamicImports: true });
  await made.close();
  return output[0].code;
}

/** An app of React as one script. */
export async function bundleReact(input: string): Promise<string> {
  return `${await reactScript()}\n${await bundle(input, typescript, 'cjs', 'const exports = {};')}`;
}

/** An app of Vue as one script; not for production, so that Vue warns of what it does not understand. */
export function bundleVue(input: string, options: CompilerOptions): Promise<string> {
  const intro = `const process = { env: { NODE_ENV: 'development' } }, __VUE_OPTIONS_API__ = true,
    __VUE_PROD_DEVTOOLS__ = false, __VUE_PROD_HYDRATION_MISMATCH_DETAILS__ = false;`;
  return bundle(input, components(options), 'es', intro);
}
