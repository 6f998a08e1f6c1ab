import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';

import { Readiness } from '../../src/operations/readiness.js';
import { ShellApp, testConfig } from '../support/shell-app.js';

describe('health', () => {
  let app: ShellApp;
  let readiness: Readiness;
  beforeAll(async () => {
    app = await ShellApp.start(testConfig());
    readiness = app.nest.get(Readiness);
  });
  afterAll(() => app.stop());

  it('says that the process lives, without a credential', async () => {
    const answer = await app.send('GET', '/health/live');
    expect([answer.status, answer.json]).toEqual([200, { status: 'ok' }]);
    expect(answer.headers['cache-control']).toBe('no-store');
  });

  it('is ready when every part is', async () => {
    readiness.register('database', () => Promise.resolve({ ok: true, milliseconds: 2 }));
    readiness.register('listener', () => ({ ok: true }));
    const answer = await app.send('GET', '/health/ready');
    expect(answer.status).toBe(200);
    expect(answer.headers['cache-control']).toBe('no-store');
    expect(answer.json).toEqual({
      status: 'ok',
      checks: { database: { ok: true, milliseconds: 2 }, listener: { ok: true } },
    });
  });

  it('is not ready when one part is not, and says which', async () => {
    readiness.register('listener', () => ({ ok: false }));
    const answer = await app.send('GET', '/health/ready');
    expect(answer.status).toBe(503);
    expect(answer.json).toMatchObject({
      status: 'unavailable',
      checks: { database: { ok: true }, listener: { ok: false } },
    });
  });

  it('tells a prober nothing of why a check threw', async () => {
    readiness.register('listener', () => {
      throw new Error('connect to 10.0.0.7 failed');
    });
    const answer = await app.send('GET', '/health/ready');
    expect(answer.status).toBe(503);
    expect(answer.text).not.toContain('10.0.0.7');
    expect(JSON.stringify(app.logs)).toContain('10.0.0.7');
  });

  it('answers while a check does not', async () => {
    readiness.register('listener', () => new Promise(() => undefined));
    const answer = await app.send('GET', '/health/ready');
    expect(answer.status).toBe(503);
    expect(answer.json).toMatchObject({ checks: { listener: { ok: false, error: 'no answer in time' } } });
  });

  it('is alive and not ready while it drains, however well its parts are', async () => {
    readiness.register('listener', () => ({ ok: true }));
    readiness.drain();
    const answer = await app.send('GET', '/health/ready');
    expect([answer.status, answer.json?.['status']]).toEqual([503, 'draining']);
    expect((await app.send('GET', '/health/live')).status).toBe(200);
  });

  it('is logged for those who look for it only', () => {
    const lines = app.logs.filter(line => JSON.stringify(line).includes('/health/'));
    expect(lines.length).toBeGreaterThan(0);
    expect(
      lines.filter(line => line['msg'] === 'request completed').every(line => line['level'] === 20),
    ).toBe(true);
  });
});
