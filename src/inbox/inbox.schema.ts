import type { OpenAPIObject } from '@nestjs/swagger';
import { z } from 'zod';

type SchemaObject = NonNullable<NonNullable<OpenAPIObject['components']>['schemas']>[string];

const TOPIC = { type: 'string', example: 'user:42', maxLength: 200 } as const;
const NOTIFICATION: SchemaObject = {
  type: 'object',
  required: ['to', 'type', 'title'],
  properties: {
    to: { oneOf: [TOPIC, { type: 'array', items: TOPIC }], description: 'user:42, role:admin or all.' },
    type: { type: 'string', example: 'invoice.paid', maxLength: 200 },
    title: { type: 'string', minLength: 1, maxLength: 500, example: 'Invoice 7 was paid' },
    body: { type: 'string', maxLength: 5_000 },
    url: { type: 'string', maxLength: 2_000, description: 'http, https, or a path.', example: '/invoices/7' },
    icon: { type: 'string', maxLength: 2_000 },
    data: { description: 'Any JSON; kept to the letter.' },
    key: { type: 'string', description: 'A newer one with the same topic and key replaces an unread one.' },
    priority: { type: 'string', enum: ['low', 'normal', 'high', 'urgent'], default: 'normal' },
    expiresAt: { type: 'string', format: 'date-time' },
    deliverAt: { type: 'string', format: 'date-time', description: 'Sent then, and not now.' },
    dedupeId: { type: 'string', description: 'Makes a repeat answer the first id.' },
  },
};

/** What `POST /v1/notifications` takes, for the API documentation. */
export const NOTIFY_SCHEMA: SchemaObject = {
  oneOf: [
    NOTIFICATION,
    { type: 'array', items: NOTIFICATION, maxItems: 1_000 },
    {
      type: 'object',
      required: ['notifications'],
      properties: { notifications: { type: 'array', items: NOTIFICATION, maxItems: 1_000 } },
    },
  ],
};

/** A shape as the API documentation has it. */
export function schemaOf(shape: z.ZodType): SchemaObject {
  return z.toJSONSchema(shape, { io: 'input', target: 'openapi-3.0' }) as SchemaObject;
}
