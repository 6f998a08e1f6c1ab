import type { NestExpressApplication } from '@nestjs/platform-express';

/** What the router of Express is made of, as far as it is looked at here. */
interface Layer {
  /** Where a middleware is mounted: `/` for all of the service. */
  readonly rawPath: unknown;
  readonly route?: { readonly path: string | string[]; readonly methods: Readonly<Record<string, boolean>> };
}

/**
 * Everything that an application answers, as its router has it: `GET /health/live`, and `USE /docs/` for a middleware
 * that is mounted there. Sorted, each once.
 */
export function routesOf(app: NestExpressApplication): string[] {
  const { router } = app.getHttpAdapter().getInstance() as unknown as { router: { stack: Layer[] } };
  const routes = router.stack.flatMap(({ route, rawPath }) => {
    if (route === undefined) return rawPath === '/' ? [] : [`USE ${String(rawPath)}`];
    return [route.path]
      .flat()
      .flatMap(path => Object.keys(route.methods).map(method => `${method.toUpperCase()} ${path}`));
  });
  return [...new Set(routes)].sort();
}
