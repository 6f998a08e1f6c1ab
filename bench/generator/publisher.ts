import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { payload } from './payload.js';
import type { Envelope, PublishSpec } from './protocol.js';

/** Publishes over one connection that is kept open, one request at a time. */
export class Publisher {
  private answer = '';
  private waiting: { resolve: () => void; reject: (error: Error) => void } | undefined;

  private constructor(
    private readonly spec: PublishSpec,
    private readonly socket: Socket,
  ) {
    socket.on('data', (data: Buffer) => {
      this.take(data);
    });
    socket.on('error', error => this.waiting?.reject(error));
    socket.on('close', () => this.waiting?.reject(new Error('the server closed the connection')));
  }

  static async open(spec: PublishSpec): Promise<Publisher> {
    const socket = connect({ port: spec.port, host: '127.0.0.1', noDelay: true });
    await once(socket, 'connect');
    return new Publisher(spec, socket);
  }

  /**
   * Publishes these counters, in order. Resolves when all of them were answered.
   *
   * @throws Error when an answer is not 2xx
   */
  async publish(first: number, count: number): Promise<void> {
    const { single, burst } = this.spec;
    if (count > 1 && burst) {
      await this.request(burst, first, count);
      return;
    }
    for (let counter = first; counter < first + count; counter++) await this.request(single, counter, 1);
  }

  close(): void {
    this.socket.destroy();
  }

  private request(envelope: Envelope, first: number, count: number): Promise<void> {
    const { path, headers = {}, open = '', before = '', after = '', separator = '', close = '' } = envelope;
    const events = Array.from({ length: count }, (_, index) => {
      const data = payload(first + index);
      return `${before}${envelope.form === true ? encodeURIComponent(data) : data}${after}`;
    });
    const body = `${open}${events.join(separator)}${close}`;
    const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
    return new Promise((resolve, reject) => {
      this.waiting = { resolve, reject };
      this.socket.write(
        `POST ${path} HTTP/1.1\r\nHost: 127.0.0.1:${this.spec.port}\r\n${lines.join('')}` +
          `Content-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
      );
    });
  }

  private take(data: Buffer): void {
    this.answer += data.toString('latin1');
    const blank = this.answer.indexOf('\r\n\r\n');
    if (blank < 0) return;
    const length = /^content-length: *(\d+)/im.exec(this.answer.slice(0, blank))?.[1];
    const complete =
      length === undefined
        ? this.answer.endsWith('\r\n0\r\n\r\n')
        : this.answer.length >= blank + 4 + Number(length);
    if (!complete) return;
    const { answer, waiting } = this;
    this.answer = '';
    this.waiting = undefined;
    if (/^HTTP\/1\.1 2/.test(answer)) waiting?.resolve();
    else waiting?.reject(new Error(`publishing was answered: ${answer.slice(0, 500)}`));
  }
}
