import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { until } from './conditions.js';
import type { Instance } from './instance.js';

/** A connection on which a test writes its own bytes. */
export class RawConnection {
  received = '';
  closed = false;

  private constructor(private readonly socket: Socket) {
    socket.setEncoding('utf8');
    socket.on('data', (text: string) => (this.received += text));
    socket.on('close', () => (this.closed = true));
    socket.on('error', () => (this.closed = true));
  }

  static async open(belfry: Instance): Promise<RawConnection> {
    const { hostname, port } = new URL(belfry.url);
    const socket = connect({ host: hostname, port: Number(port) });
    await once(socket, 'connect');
    return new RawConnection(socket);
  }

  write(text: string): void {
    this.socket.write(text);
  }

  async receives(pattern: RegExp): Promise<void> {
    await until(`${String(pattern)} in ${this.received}`, () => pattern.test(this.received));
  }

  async isClosed(): Promise<void> {
    await until('the end of the connection', () => this.closed);
  }

  cut(): void {
    this.socket.destroy();
  }
}
