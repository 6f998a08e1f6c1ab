import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';

/** Postgres' "ready for the next query, outside a transaction": the end of a session's start. */
const READY_FOR_QUERY = Buffer.from([0x5a, 0, 0, 0, 5, 0x49]);

/** A TCP proxy in front of Postgres that can misbehave as networks do. */
export class TcpProxy {
  private readonly pairs = new Set<{ client: Socket; server: Socket }>();
  private mode: 'open' | 'black-hole' | 'answers-lost' | 'queries-lost' | 'refusing' = 'open';

  private constructor(
    private readonly listener: Server,
    private target: { host: string; port: number },
  ) {}

  static async start(targetUrl: string): Promise<TcpProxy> {
    const listener = createServer();
    listener.listen(0, '127.0.0.1');
    await once(listener, 'listening');
    const proxy = new TcpProxy(listener, addressOf(targetUrl));
    listener.on('connection', client => {
      proxy.accept(client);
    });
    return proxy;
  }

  /** The same database, through this proxy. */
  urlOf(targetUrl: string): string {
    const url = new URL(targetUrl);
    url.hostname = '127.0.0.1';
    url.port = String((this.listener.address() as AddressInfo).port);
    return url.href;
  }

  /** New connections lead to another server; those that are open stay as they are. */
  leadTo(targetUrl: string): void {
    this.target = addressOf(targetUrl);
  }

  /** Bytes go through again; connections that were made meanwhile too. */
  open(): void {
    this.mode = 'open';
    for (const { client, server } of this.pairs) {
      client.resume();
      server.resume();
    }
  }

  /** Nothing goes through in either direction, and nothing is closed. */
  blackHole(): void {
    this.mode = 'black-hole';
    for (const { client, server } of this.pairs) {
      client.pause();
      server.pause();
    }
  }

  /** The same for the connections that are open now; new ones go through. */
  blackHoleThese(): void {
    for (const { client, server } of this.pairs) {
      client.pause();
      server.pause();
    }
  }

  /** Cuts all connections; new ones start, and then their queries are never delivered. */
  loseQueries(): void {
    this.mode = 'queries-lost';
    this.cut();
  }

  /** Requests go through; what Postgres answers is never delivered. */
  loseAnswers(): void {
    this.mode = 'answers-lost';
    for (const { server } of this.pairs) server.pause();
  }

  /** New connections are refused; those that are open are cut. */
  refuse(): void {
    this.mode = 'refusing';
    this.cut();
  }

  /** Cuts all connections. */
  cut(): void {
    for (const { client, server } of this.pairs) {
      client.destroy();
      server.destroy();
    }
  }

  async stop(): Promise<void> {
    this.cut();
    this.listener.close();
    await once(this.listener, 'close');
  }

  private accept(client: Socket): void {
    if (this.mode === 'refusing') {
      client.destroy();
      return;
    }
    const server = connect(this.target);
    const pair = { client, server };
    this.pairs.add(pair);
    const end = () => {
      this.pairs.delete(pair);
      client.destroy();
      server.destroy();
    };
    for (const socket of [client, server]) {
      socket.setNoDelay(true);
      socket.on('error', end);
      socket.on('close', end);
    }
    client.on('data', chunk => server.write(chunk));
    server.on('data', chunk => {
      client.write(chunk);
      if (this.mode === 'queries-lost' && chunk.subarray(-6).equals(READY_FOR_QUERY)) client.pause();
    });
    if (this.mode === 'black-hole') client.pause();
    if (this.mode === 'black-hole' || this.mode === 'answers-lost') server.pause();
  }
}

function addressOf(url: string): { host: string; port: number } {
  const { hostname, port } = new URL(url);
  return { host: hostname, port: Number(port) };
}
