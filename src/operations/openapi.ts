import type { NestExpressApplication } from '@nestjs/platform-express';
import { DocumentBuilder, SwaggerModule } from '@nestjs/swagger';
import { readFileSync } from 'node:fs';

/** The service describes itself to machines at /openapi.json and to people at /docs, both without a credential. */
export function serveOpenApi(app: NestExpressApplication): void {
  const options = new DocumentBuilder()
    .setTitle('Belfry')
    .setDescription('Notifications on Postgres: publish over HTTP, stream over SSE, replay what was missed.')
    .setVersion(version())
    .addBearerAuth()
    .addSecurityRequirements('bearer')
    .build();
  SwaggerModule.setup('docs', app, () => SwaggerModule.createDocument(app, options), {
    jsonDocumentUrl: 'openapi.json',
    raw: ['json'],
    customSiteTitle: 'Belfry',
  });
}

function version(): string {
  // As far away from dist/operations as from src/operations.
  const file = new URL('../../package.json', import.meta.url);
  return (JSON.parse(readFileSync(file, 'utf8')) as { version: string }).version;
}
