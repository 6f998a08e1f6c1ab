/** Where a cursor survives the page or the process. One per connection: others would overwrite it. */
export interface CursorStorage {
  /** @returns nothing when there is none yet */
  load(): string | null | undefined | Promise<string | null | undefined>;
  save(cursor: string): void | Promise<void>;
}

/**
 * @param storage such as `localStorage`
 * @param key such as `belfry:alice`
 */
export function cursorIn(storage: Pick<Storage, 'getItem' | 'setItem'>, key: string): CursorStorage {
  return {
    load: () => storage.getItem(key),
    save: cursor => {
      storage.setItem(key, cursor);
    },
  };
}

/** Saves one cursor after the other; of those that come while it saves, the newest. */
export class CursorKeeper {
  private newest: string | undefined;
  private saving = false;

  constructor(
    private readonly storage: CursorStorage,
    private readonly failed: (error: unknown) => void,
  ) {}

  keep(cursor: string): void {
    this.newest = cursor;
    if (!this.saving) void this.save();
  }

  private async save(): Promise<void> {
    this.saving = true;
    while (this.newest !== undefined) {
      const cursor = this.newest;
      this.newest = undefined;
      try {
        const saved = this.storage.save(cursor);
        // A storage that is done at once has the cursor before the next event is heard.
        if (saved) await saved;
      } catch (error) {
        this.failed(error);
      }
    }
    this.saving = false;
  }
}
