/** Uploads in memory: pending for an hour, then visible for one more as completed, cancelled or expired. */
import type { Clock } from "../../../shared/clock.ts";
import { LoraFleetError, quote } from "../../../shared/errors.ts";
import type { Owner } from "../record/owner.ts";
import type { FileRecord } from "../stores/job_store.ts";

const LIFETIME_MS = 3_600_000;
/** Pending uploads take space that no list of files shows. */
const MAX_PENDING = 100;

export interface NewUpload {
  readonly filename: string;
  readonly purpose: string;
  /** The size of the whole file. */
  readonly bytes: number;
  /** The lifetime of the file from its creation; null: unlimited. */
  readonly fileLifetimeMs: number | null;
  /** Left out or null: a configured key, or none. */
  readonly owner?: Owner | null;
}

export interface Upload extends NewUpload {
  readonly id: string;
  readonly createdAt: number;
  readonly expiresAt: number;
  readonly status: "pending" | "completed" | "cancelled" | "expired";
  readonly file: FileRecord | null;
}

export interface UploadPart {
  readonly id: string;
  readonly uploadId: string;
  readonly createdAt: number;
  readonly size: number;
}

/** An upload with its parts; the registry holds it. */
export interface HeldUpload {
  upload: Upload;
  readonly parts: Map<string, UploadPart>;
  /** Its parts are being joined: it accepts no other command. */
  isBusy: boolean;
}

export class UploadRegistry {
  readonly #clock: Pick<Clock, "now">;
  readonly #onExpired: (id: string) => void;
  readonly #held = new Map<string, HeldUpload>();

  /** `onExpired` may run more than once for an upload. */
  constructor(clock: Pick<Clock, "now">, onExpired: (id: string) => void) {
    this.#clock = clock;
    this.#onExpired = onExpired;
  }

  /** Throws `conflict` if too many uploads are pending. */
  add(id: string, wanted: NewUpload): Upload {
    this.#dropExpired();
    const pending = this.#held.values().filter(({ upload }) => upload.status === "pending").toArray();
    if (pending.length >= MAX_PENDING) {
      const message = `${MAX_PENDING} uploads are pending: complete or cancel one of them first`;
      throw new LoraFleetError("conflict", message);
    }
    const createdAt = this.#clock.now();
    const expiresAt = createdAt + LIFETIME_MS;
    const upload: Upload = { ...wanted, id, createdAt, expiresAt, status: "pending", file: null };
    this.#held.set(id, { upload, parts: new Map(), isBusy: false });
    return upload;
  }

  /** Bytes that an owner has announced and not completed. */
  announcedBy(owner: string | undefined): number {
    if (owner === undefined) return 0;
    this.#dropExpired();
    return this.#held.values().map(({ upload }) => upload)
      .filter((upload) => upload.status === "pending" && upload.owner?.id === owner)
      .reduce((sum, { bytes }) => sum + bytes, 0);
  }

  /** Null: a configured key or none; undefined: there is no such upload. */
  ownerOf(id: string): string | null | undefined {
    const held = this.#held.get(id);
    return held === undefined ? undefined : held.upload.owner?.id ?? null;
  }

  /** Throws `not_found`. */
  get(id: string): HeldUpload {
    this.#dropExpired();
    const found = this.#held.get(id);
    if (found !== undefined) return found;
    throw new LoraFleetError("not_found", `no such upload: ${quote(id)}`, { param: "upload_id" });
  }

  /** As `get`; throws `conflict` if the upload is not pending. */
  pending(id: string): HeldUpload {
    const found = this.get(id);
    if (found.upload.status === "pending" && !found.isBusy) return found;
    const status = found.isBusy ? "being completed" : found.upload.status;
    const message = `upload ${quote(id)} is ${status}: only a pending one can change`;
    throw new LoraFleetError("conflict", message, { param: "upload_id" });
  }

  #dropExpired(): void {
    for (const [id, held] of this.#held) {
      const overdueMs = this.#clock.now() - held.upload.expiresAt;
      if (overdueMs < 0 || held.isBusy) continue;
      if (held.upload.status === "pending") held.upload = { ...held.upload, status: "expired" };
      if (overdueMs > LIFETIME_MS) this.#held.delete(id);
      this.#onExpired(id);
    }
  }
}
