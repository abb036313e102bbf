/** Deletes the records of files whose lifetime has ended, unless an unfinished job needs them. */
import type { Clock } from "../../../shared/clock.ts";
import type { FileRecord, JobStore, Page } from "../stores/job_store.ts";
import { useOfFile } from "./file_rules.ts";

export class ExpiringFiles {
  readonly #store: JobStore;
  readonly #clock: Pick<Clock, "now">;
  readonly #onDeleted: (id: string) => void;
  /** Times by id; read from the store on first use. */
  #times: Map<string, number> | null = null;

  constructor(store: JobStore, clock: Pick<Clock, "now">, onDeleted: (id: string) => void) {
    this.#store = store;
    this.#clock = clock;
    this.#onDeleted = onDeleted;
  }

  add({ id, expiresAt }: FileRecord): void {
    if (expiresAt !== null) (this.#times ??= readTimes(this.#store)).set(id, expiresAt);
  }

  remove(id: string): void {
    this.#times?.delete(id);
  }

  deleteExpired(): void {
    this.#times ??= readTimes(this.#store);
    for (const [id, expiresAt] of this.#times) {
      if (expiresAt > this.#clock.now() || useOfFile(this.#store, id) !== null) continue;
      try {
        this.#store.deleteFile(id);
      } catch {
        // A full disk must not make reading other files fail.
        continue;
      }
      this.#times.delete(id);
      this.#onDeleted(id);
    }
  }
}

function readTimes(store: JobStore): Map<string, number> {
  const found = new Map<string, number>();
  for (let after: string | null = null;;) {
    const page: Page<FileRecord> = store.files({ after, limit: 1000, purpose: null, order: "asc" });
    for (const { id, expiresAt } of page.items) if (expiresAt !== null) found.set(id, expiresAt);
    if (!page.hasMore) return found;
    after = page.items.at(-1)!.id;
  }
}
