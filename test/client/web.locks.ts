interface Request {
  readonly name: string;
  readonly start: () => void;
}

interface Held {
  readonly lose: (error: unknown) => void;
}

/**
 * The Web Locks of one browser, which Node does not have before version 24: exclusive locks, with `signal` and `steal`
 * (W3C Web Locks API, section 3).
 */
export class WebLocks {
  private readonly held = new Map<string, Held>();
  private waiting: Request[] = [];

  /** Makes it `navigator.locks`, until the function that it returns is called. */
  install(): () => void {
    const before = Object.getOwnPropertyDescriptor(globalThis, 'navigator');
    Object.defineProperty(globalThis, 'navigator', { value: { locks: this }, configurable: true });
    return () => {
      if (before) Object.defineProperty(globalThis, 'navigator', before);
      else Reflect.deleteProperty(globalThis, 'navigator');
    };
  }

  /** Names that are held or waited for. */
  get names(): string[] {
    return [...this.held.keys(), ...this.waiting.map(({ name }) => name)];
  }

  request(
    name: string,
    { signal, steal = false }: { signal?: AbortSignal; steal?: boolean },
    callback: (lock: { name: string }) => unknown,
  ): Promise<unknown> {
    return new Promise((resolve, reject) => {
      const request: Request = {
        name,
        start: () => {
          signal?.removeEventListener('abort', abort);
          const held: Held = { lose: reject };
          this.held.set(name, held);
          void Promise.resolve()
            .then(() => callback({ name }))
            .then(resolve, reject)
            .finally(() => {
              if (this.held.get(name) === held) this.held.delete(name);
              this.next(name);
            });
        },
      };
      const abort = () => {
        this.waiting = this.waiting.filter(other => other !== request);
        reject(signal?.reason as Error);
      };
      if (steal) {
        this.held.get(name)?.lose(new DOMException('The lock was stolen.', 'AbortError'));
        request.start();
        return;
      }
      signal?.addEventListener('abort', abort);
      this.waiting.push(request);
      this.next(name);
    });
  }

  private next(name: string): void {
    if (this.held.has(name)) return;
    const request = this.waiting.find(other => other.name === name);
    if (!request) return;
    this.waiting = this.waiting.filter(other => other !== request);
    request.start();
  }
}
