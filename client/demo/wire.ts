/** A network that can be cut: what is running breaks off, and what is asked for meanwhile fails, as without a cable. */
export class Wire {
  private cable: AbortController | undefined = new AbortController();

  get isCut(): boolean {
    return this.cable === undefined;
  }

  readonly fetch: typeof globalThis.fetch = (input, init) => {
    if (this.cable === undefined) return Promise.reject(new TypeError('The connection is cut.'));
    const signals = [this.cable.signal, ...(init?.signal ? [init.signal] : [])];
    return fetch(input, { ...init, signal: AbortSignal.any(signals) });
  };

  cut(): void {
    // As a broken connection, and not as somebody who changed his mind.
    this.cable?.abort(new TypeError('The connection was cut.'));
    this.cable = undefined;
  }

  mend(): void {
    this.cable ??= new AbortController();
    // What a browser tells its pages when the cable is back; the bell need not wait for its next try then.
    window.dispatchEvent(new Event('online'));
  }
}
