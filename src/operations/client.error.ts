import { STATUS_CODES } from 'node:http';
import type { Socket } from 'node:net';
import { codeOf } from '../errors/catalogue.js';
import { Problem } from '../errors/problem.js';

/** Statuses of what Node's parser refuses (its documentation, event 'clientError'); anything else is 400. */
const STATUSES: Readonly<Record<string, number>> = {
  HPE_HEADER_OVERFLOW: 431,
  HPE_CHUNK_EXTENSIONS_OVERFLOW: 413,
  ERR_HTTP_REQUEST_TIMEOUT: 408,
};

/** How long a client may take to close its side after such an answer, in milliseconds. */
const LINGER_MS = 1_000;

/** Answers what is no request, or not one in time, as every other error is answered: no route ever sees it. */
export function answerClientError(error: NodeJS.ErrnoException, socket: Socket): void {
  // Behind half an answer, another one would only be taken for more of it.
  if (error.code === 'ECONNRESET' || !socket.writable || socket.bytesWritten > 0) {
    socket.destroy(error);
    return;
  }
  const status = STATUSES[error.code ?? ''] ?? 400;
  const body = JSON.stringify({ ...new Problem(codeOf(status)).details(undefined), status });
  socket.end(
    `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? 'Bad Request'}\r\nConnection: close\r\n` +
      `Content-Type: application/problem+json\r\nContent-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
  );
  // Closed at once, it might take back the answer (RFC 9112, section 9.6); left to the client, it might stay for ever.
  const cut = setTimeout(() => socket.destroy(), LINGER_MS);
  socket.once('close', () => {
    clearTimeout(cut);
  });
}
