import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { until } from './conditions.js';
import type { Instance } from './instance.js';

/** An answer as it came; of one that does not end, such as a stream, the head. */
export interface RawAnswer {
  readonly status: number;
  /** By their names in lower case; of several with one name the last. */
  readonly headers: ReadonlyMap<string, string>;
  readonly body: string;
}

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

  /** @param options with `allowHalfOpen` it leaves its own side open when the server closes the other */
  static async open(belfry: Instance, options: { allowHalfOpen?: boolean } = {}): Promise<RawConnection> {
    const { hostname, port } = new URL(belfry.url);
    const socket = connect({ host: hostname, port: Number(port), ...options });
    await once(socket, 'connect');
    return new RawConnection(socket);
  }

  write(bytes: string | Uint8Array): void {
    this.socket.write(bytes);
  }

  /** Says that nothing more is to come, and goes on reading. */
  end(): void {
    this.socket.end();
  }

  async receives(pattern: RegExp): Promise<void> {
    await until(`${String(pattern)} in ${this.received}`, () => pattern.test(this.received));
  }

  /** The answer to the request that was written; undefined when the connection ended without a whole one. */
  async answer(method: string): Promise<RawAnswer | undefined> {
    let answer: RawAnswer | undefined;
    await until(`an answer in ${this.received}`, () => {
      const { closed } = this;
      answer = parseAnswer(this.received, method);
      return closed || answer !== undefined;
    });
    return answer;
  }

  async isClosed(): Promise<void> {
    await until('the end of the connection', () => this.closed);
  }

  cut(): void {
    this.socket.destroy();
  }
}

/** @returns undefined while it is not whole */
function parseAnswer(received: string, method: string): RawAnswer | undefined {
  const [head = '', ...rest] = received.replace(/^(?:HTTP\/1\.1 100 [^]*?\r\n\r\n)+/, '').split('\r\n\r\n');
  if (rest.length === 0) return undefined;
  const [statusLine = '', ...lines] = head.split('\r\n');
  const headers = new Map(
    lines.map(line => {
      const colon = line.indexOf(':');
      return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()];
    }),
  );
  const body = rest.join('\r\n\r\n');
  const length = Number(headers.get('content-length') ?? 0);
  const isWhole =
    method === 'HEAD' ||
    headers.get('content-type')?.startsWith('text/event-stream') === true ||
    (headers.get('transfer-encoding') === 'chunked'
      ? body.endsWith('0\r\n\r\n')
      : Buffer.byteLength(body) >= length);
  return isWhole
    ? { status: Number(/^HTTP\/1\.1 (\d{3}) /.exec(statusLine)?.[1]), headers, body }
    : undefined;
}
