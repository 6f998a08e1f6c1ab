import type { OpenAPIObject } from '@nestjs/swagger';

type SchemaObject = NonNullable<NonNullable<OpenAPIObject['components']>['schemas']>[string];

const EVENT: SchemaObject = {
  type: 'object',
  required: ['topic', 'type'],
  properties: {
    topic: { type: 'string', example: 'user:42', maxLength: 200 },
    type: { type: 'string', example: 'invoice.paid', maxLength: 200 },
    data: {
      description: 'Any JSON, at most 64 KiB unless MAX_DATA_BYTES says otherwise; kept to the letter.',
      example: { invoice: 7 },
    },
    key: { type: 'string', description: 'A client that was away gets only the newest per topic and key.' },
    expiresAt: { type: 'string', format: 'date-time' },
    dedupeId: { type: 'string', description: 'Makes a repeat answer the first id.' },
  },
};

/** What `POST /v1/events` takes, for the API documentation. */
export const PUBLISH_SCHEMA: SchemaObject = {
  oneOf: [
    EVENT,
    { type: 'array', items: EVENT, maxItems: 1_000 },
    {
      type: 'object',
      required: ['events'],
      properties: { events: { type: 'array', items: EVENT, maxItems: 1_000 } },
    },
  ],
};
