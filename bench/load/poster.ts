import { connect, type Socket } from 'node:net';
import type { PostSpec } from './protocol.js';

interface Request {
  readonly bytes: string;
  readonly resolve: (answer: string) => void;
  readonly reject: (error: Error) => void;
}

/** An answer longer than this is none that was asked for, in characters. */
const ANSWER_LENGTH = 1024 * 1024;

/** A connection that is kept open. What is posted waits for the answer to what was posted before. */
export class Poster {
  private readonly socket: Socket;
  private readonly head: string;
  /** The first one is on its way. */
  private readonly queue: Request[] = [];
  private text = '';

  /** @param type Content-Type */
  constructor({ port, path, headers }: PostSpec, type = 'application/json') {
    const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
    this.head =
      `POST ${path} HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\n${lines.join('')}` +
      `Content-Type: ${type}\r\nContent-Length: `;
    this.socket = connect({ port, host: '127.0.0.1', noDelay: true });
    this.socket.setEncoding('latin1');
    this.socket.on('data', (text: string) => {
      this.take(text);
    });
    this.socket.on('error', error => {
      this.fail(error);
    });
    this.socket.on('close', () => {
      this.fail(new Error('the server closed the connection of a publisher'));
    });
  }

  /**
   * @param body ASCII
   * @returns the body of the answer
   * @throws Error when the answer is not 201
   */
  post(body: string): Promise<string> {
    return new Promise((resolve, reject) => {
      this.queue.push({ bytes: `${this.head}${body.length}\r\n\r\n${body}`, resolve, reject });
      if (this.queue.length === 1) this.send();
    });
  }

  close(): void {
    this.socket.destroy();
  }

  private send(): void {
    const next = this.queue[0];
    if (next) this.socket.write(next.bytes, 'latin1');
  }

  private take(text: string): void {
    this.text += text;
    const blank = this.text.indexOf('\r\n\r\n');
    if (blank < 0) return;
    const head = this.text.slice(0, blank);
    const length = /\r\ncontent-length: *(\d+)/i.exec(head)?.[1];
    if (length === undefined || Number(length) > ANSWER_LENGTH) {
      this.fail(new Error(`a publisher cannot read this answer: ${head}`));
      return;
    }
    const end = blank + 4 + Number(length);
    if (this.text.length < end) return;
    const body = this.text.slice(blank + 4, end);
    this.text = this.text.slice(end);
    const answered = this.queue.shift();
    this.send();
    if (head.startsWith('HTTP/1.1 201 ')) answered?.resolve(body);
    else answered?.reject(new Error(`publishing was answered: ${head.split('\r\n', 1)[0] ?? ''} ${body}`));
  }

  private fail(error: Error): void {
    this.socket.destroy();
    for (const { reject } of this.queue.splice(0)) reject(error);
  }
}
