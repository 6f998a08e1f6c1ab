const END = Buffer.from('\r\n');

/**
 * Bytes of a stream's body that are written at once; made once for all who are sent the same.
 *
 * `encoded` is the same as one chunk of HTTP/1.1's chunked coding (RFC 9112, section 7.1), in one piece: Node would
 * make it anew, in three pieces, for each response.
 */
export class Chunk {
  private chunk: Buffer | undefined;

  constructor(readonly body: Buffer) {}

  static of(text: string): Chunk {
    return new Chunk(Buffer.from(text));
  }

  get encoded(): Buffer {
    this.chunk ??= Buffer.concat([Buffer.from(`${this.body.length.toString(16)}\r\n`), this.body, END]);
    return this.chunk;
  }
}
