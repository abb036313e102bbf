/**
 * OpenAI's uploads: a file in parts, which become one file when they are put together in a given order. They live for an hour
 * and end with the process: whoever uploads in parts begins anew after a restart.
 */
import { createHash } from "node:crypto";
import type { Clock } from "../../../shared/clock.ts";
import { LoraFleetError, quote } from "../../../shared/errors.ts";
import { assertFilename, assertUploadPurpose } from "./file_store.ts";
import type { FileStore } from "./file_store.ts";
import type { NewId } from "../../storage/ids.ts";
import type { FileRecord } from "../stores/job_store.ts";
import { FileTooLargeError, writeStreamedFile } from "../../storage/streamed_file.ts";

/** OpenAI's. */
export const MAX_PART_BYTES = 64 * 2 ** 20;
const LIFETIME_MS = 3_600_000;
/** Of one upload; with parts of 64 MiB that is more than any dataset. */
const MAX_PARTS = 10_000;
/** What is pending takes space that nobody sees in the list of files. */
const MAX_PENDING = 100;

export interface NewUpload {
  readonly filename: string;
  readonly purpose: string;
  /** Of the whole file. */
  readonly bytes: number;
  /** Of the file, from its creation; null: it is kept. */
  readonly fileLifetimeMs: number | null;
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

export interface UploadStore {
  /** Throws `invalid_request` for a name, purpose or size that will not do, `conflict` where too many are pending. */
  create(upload: NewUpload): Upload;
  /** Throws `not_found`. */
  get(id: string): Upload;
  /** Throws `not_found`, `conflict` where the upload is not pending, `FileTooLargeError`, `storage`. */
  addPart(id: string, body: AsyncIterable<Uint8Array>): Promise<UploadPart>;
  /**
   * Makes the file. Throws `not_found`, `conflict`, `invalid_request` where the parts are not those of the upload or do not
   * add up to its size, `corrupt` where they have another MD5.
   */
  complete(id: string, partIds: readonly string[], md5: string | null): Promise<Upload>;
  /** Throws `not_found`, `conflict` where the upload is not pending. */
  cancel(id: string): Promise<Upload>;
  /** Removes what an earlier process has left. */
  sweep(): Promise<void>;
}

export interface UploadStoreOptions {
  readonly folder: string;
  readonly files: FileStore;
  readonly clock: Clock;
  readonly newId: NewId;
  readonly maxUploadBytes: number;
}

interface Held {
  upload: Upload;
  readonly parts: Map<string, UploadPart>;
  /** Being put together: nothing else may be done with it. */
  isBusy: boolean;
}

/** Keeps parts in a folder of their own below `folder`. */
export function createUploadStore(options: UploadStoreOptions): UploadStore {
  const { folder, files, clock, newId, maxUploadBytes } = options;
  const held = new Map<string, Held>();
  const partPath = ({ uploadId, id }: UploadPart) => `${folder}/${uploadId}/${id}`;

  const dropParts = (id: string): Promise<void> =>
    Deno.remove(`${folder}/${id}`, { recursive: true }).catch((thrown) => {
      if (!(thrown instanceof Deno.errors.NotFound)) throw thrown;
    });

  /** An upload is shown as expired for as long as it lived, and then forgotten. */
  const dropExpired = (): void => {
    for (const [id, entry] of held) {
      const { upload, isBusy } = entry;
      const overdueMs = clock.now() - upload.expiresAt;
      if (overdueMs < 0 || isBusy) continue;
      if (upload.status === "pending") entry.upload = { ...upload, status: "expired" };
      if (overdueMs > LIFETIME_MS) held.delete(id);
      dropParts(id).catch(() => {});
    }
  };

  const find = (id: string): Held => {
    dropExpired();
    const found = held.get(id);
    if (found !== undefined) return found;
    throw new LoraFleetError("not_found", `no such upload: ${quote(id)}`, { param: "upload_id" });
  };

  const pending = (id: string): Held => {
    const found = find(id);
    if (found.upload.status === "pending" && !found.isBusy) return found;
    const status = found.isBusy ? "being completed" : found.upload.status;
    throw new LoraFleetError("conflict", `upload ${quote(id)} is ${status}: only a pending one can change`, {
      param: "upload_id",
    });
  };

  const sizeOf = (parts: Iterable<UploadPart>): number =>
    Array.from(parts).reduce((sum, { size }) => sum + size, 0);

  return {
    create(wanted) {
      dropExpired();
      assertUploadPurpose(wanted.purpose);
      assertFilename(wanted.filename, "filename");
      if (wanted.bytes > maxUploadBytes) {
        throw new LoraFleetError(
          "invalid_request",
          `bytes is ${wanted.bytes}: a file may have up to ${maxUploadBytes} bytes`,
          { param: "bytes" },
        );
      }
      if (held.values().filter(({ upload }) => upload.status === "pending").toArray().length >= MAX_PENDING) {
        throw new LoraFleetError(
          "conflict",
          `${MAX_PENDING} uploads are pending: complete or cancel one of them first`,
        );
      }
      const createdAt = clock.now();
      const upload: Upload = {
        ...wanted,
        id: newId("upload"),
        createdAt,
        expiresAt: createdAt + LIFETIME_MS,
        status: "pending",
        file: null,
      };
      held.set(upload.id, { upload, parts: new Map(), isBusy: false });
      return upload;
    },

    get: (id) => find(id).upload,

    async addPart(id, body) {
      const { upload, parts } = pending(id);
      if (parts.size >= MAX_PARTS) {
        throw new LoraFleetError(
          "invalid_request",
          `upload ${quote(id)} has ${MAX_PARTS} parts, which is the limit`,
        );
      }
      const part = { id: newId("part"), uploadId: id, createdAt: clock.now() };
      const path = partPath({ ...part, size: 0 });
      const maxBytes = Math.min(MAX_PART_BYTES, upload.bytes);
      const { size } = await writeStreamedFile(path, body, { maxBytes }).catch((thrown) => {
        throw thrown instanceof FileTooLargeError
          ? new FileTooLargeError(maxBytes, "the part", "data")
          : thrown;
      });
      try {
        // A part may be sent again under another id, so that not all of them need be in the file: twice its size is enough.
        if (size + sizeOf(pending(id).parts.values()) > 2 * upload.bytes) {
          throw new LoraFleetError(
            "invalid_request",
            `the parts of upload ${quote(id)} have more than twice its ${upload.bytes} bytes`,
            { param: "data" },
          );
        }
      } catch (thrown) {
        await Deno.remove(path).catch(() => {});
        throw thrown;
      }
      const stored = { ...part, size };
      parts.set(part.id, stored);
      return stored;
    },

    async complete(id, partIds, md5) {
      const entry = pending(id);
      const { upload, parts } = entry;
      const chosen = partIds.map((partId, index) => {
        const part = parts.get(partId);
        if (part !== undefined && partIds.indexOf(partId) === index) return part;
        const what = part === undefined ? "is not a part of" : "comes twice for";
        throw new LoraFleetError(
          "invalid_request",
          `part_ids[${index}] ${quote(partId)} ${what} upload ${quote(id)}`,
          {
            param: "part_ids",
          },
        );
      });
      const size = sizeOf(chosen);
      if (size !== upload.bytes || size === 0) {
        throw new LoraFleetError(
          "invalid_request",
          `the parts have ${size} bytes together; upload ${quote(id)} was announced with ${upload.bytes}`,
          { param: "part_ids" },
        );
      }
      entry.isBusy = true;
      try {
        const hash = createHash("md5");
        const received = await files.receive(async function* () {
          for (const part of chosen) {
            for await (const chunk of (await Deno.open(partPath(part))).readable) {
              hash.update(chunk);
              yield chunk;
            }
          }
        }());
        const found = hash.digest("hex");
        if (md5 !== null && md5.toLowerCase() !== found) {
          await files.discard(received);
          throw new LoraFleetError("corrupt", `md5 is ${quote(md5)}, but the parts have ${quote(found)}`, {
            param: "md5",
          });
        }
        const file = files.keep(received, upload.filename, upload.purpose, upload.fileLifetimeMs);
        entry.upload = { ...upload, status: "completed", file };
      } finally {
        entry.isBusy = false;
      }
      await dropParts(id);
      return entry.upload;
    },

    async cancel(id) {
      const entry = pending(id);
      entry.upload = { ...entry.upload, status: "cancelled" };
      await dropParts(id);
      return entry.upload;
    },

    async sweep() {
      await Deno.remove(folder, { recursive: true }).catch((thrown) => {
        if (!(thrown instanceof Deno.errors.NotFound)) throw thrown;
      });
    },
  };
}
