/**
 * OpenAI's uploads: parts that are joined to one file in a given order. They live for an hour and end with the process; after
 * a restart a client starts again.
 */
import { createHash } from "node:crypto";
import { LoraFleetError, quote } from "../../../shared/errors.ts";
import type { Clock } from "../../../shared/clock.ts";
import type { NewId } from "../../storage/ids.ts";
import { FileTooLargeError, writeStreamedFile } from "../../storage/streamed_file.ts";
import { assertFilename, assertUploadPurpose } from "./file_rules.ts";
import { assertMayStore } from "../record/owner.ts";
import type { JobStore } from "../stores/job_store.ts";
import type { FileStore, ReceivedFile } from "./file_store.ts";
import { UploadRegistry } from "./upload_registry.ts";
import type { HeldUpload, NewUpload, Upload, UploadPart } from "./upload_registry.ts";

/** OpenAI's limit. */
export const MAX_PART_BYTES = 64 * 2 ** 20;
/** With parts of 64 MiB more than any dataset. */
const MAX_PARTS = 10_000;

export interface UploadStore {
  /**
   * Throws `invalid_request` for the name, purpose or size, `conflict` if too many uploads are pending, and `QuotaError` if
   * its owner may not have more.
   */
  create(upload: NewUpload): Upload;
  /** Throws `not_found`. */
  get(id: string): Upload;
  /** The key that announced it; null: a configured key or none; undefined: there is no such upload. */
  ownerOf(id: string): string | null | undefined;
  /** Throws `not_found`, `conflict` if the upload is not pending, `FileTooLargeError`, `storage`. */
  addPart(id: string, body: AsyncIterable<Uint8Array>): Promise<UploadPart>;
  /**
   * Makes the file. Throws `not_found`, `conflict`, `invalid_request` if the parts are not those of the upload or do not add
   * up to its size, `corrupt` if their MD5 differs, `invalid_dataset` if they are no dataset.
   */
  complete(id: string, partIds: readonly string[], md5: string | null): Promise<Upload>;
  /** Throws `not_found`, `conflict` if the upload is not pending. */
  cancel(id: string): Promise<Upload>;
  /** Removes the parts of an earlier process. */
  sweep(): Promise<void>;
}

interface UploadStoreOptions {
  readonly store: Pick<JobStore, "uploadedBytes">;
  readonly folder: string;
  readonly files: FileStore;
  readonly clock: Clock;
  readonly newId: NewId;
  readonly maxUploadBytes: number;
}

/** Keeps the parts of each upload in a subfolder of `folder`. */
export function createUploadStore(options: UploadStoreOptions): UploadStore {
  const { folder, store, files, clock, newId, maxUploadBytes } = options;
  const dropParts = (id: string) => removeFolder(`${folder}/${id}`);
  const registry = new UploadRegistry(clock, (id) => void dropParts(id).catch(() => {}));

  return {
    create(wanted) {
      assertUploadPurpose(wanted.purpose);
      assertFilename(wanted.filename, "filename");
      assertSize(wanted.bytes, maxUploadBytes);
      assertMayStore(store, wanted.owner ?? null, wanted.bytes, registry.announcedBy(wanted.owner?.id));
      return registry.add(newId("upload"), wanted);
    },

    get: (id) => registry.get(id).upload,
    ownerOf: (id) => registry.ownerOf(id),

    async addPart(id, body) {
      const { upload, parts } = registry.pending(id);
      assertRoomForPart(upload, parts.size);
      const part = { id: newId("part"), uploadId: id, createdAt: clock.now() };
      const path = `${folder}/${id}/${part.id}`;
      const size = await writePart(path, body, Math.min(MAX_PART_BYTES, upload.bytes));
      try {
        assertSizeOfParts(registry.pending(id), size);
      } catch (thrown) {
        await Deno.remove(path).catch(() => {});
        throw thrown;
      }
      const stored = { ...part, size };
      parts.set(part.id, stored);
      return stored;
    },

    async complete(id, partIds, md5) {
      const held = registry.pending(id);
      const { upload } = held;
      const paths = chooseParts(held, partIds).map((part) => `${folder}/${id}/${part.id}`);
      held.isBusy = true;
      try {
        const received = await joinParts(files, paths, md5);
        await files.checkData(received, upload.filename).catch(async (thrown) => {
          await files.discard(received);
          throw thrown;
        });
        const file = files.keep(
          received,
          upload.filename,
          upload.purpose,
          upload.fileLifetimeMs,
          upload.owner,
        );
        held.upload = { ...upload, status: "completed", file };
      } finally {
        held.isBusy = false;
      }
      await dropParts(id);
      return held.upload;
    },

    async cancel(id) {
      const held = registry.pending(id);
      held.upload = { ...held.upload, status: "cancelled" };
      await dropParts(id);
      return held.upload;
    },

    sweep: () => removeFolder(folder),
  };
}

function assertSize(bytes: number, maxUploadBytes: number): void {
  if (bytes <= maxUploadBytes) return;
  const message = `bytes is ${bytes}: a file may have up to ${maxUploadBytes} bytes`;
  throw new LoraFleetError("invalid_request", message, { param: "bytes" });
}

function assertRoomForPart({ id }: Upload, count: number): void {
  if (count < MAX_PARTS) return;
  const message = `upload ${quote(id)} has ${MAX_PARTS} parts, which is the limit`;
  throw new LoraFleetError("invalid_request", message);
}

/** A part may be sent again under a different id, so an upload may hold twice its size. */
function assertSizeOfParts({ upload, parts }: HeldUpload, added: number): void {
  if (added + sizeOf(parts.values()) <= 2 * upload.bytes) return;
  const message = `the parts of upload ${quote(upload.id)} have more than twice its ${upload.bytes} bytes`;
  throw new LoraFleetError("invalid_request", message, { param: "data" });
}

/** The parts in the given order, checked. */
function chooseParts({ upload, parts }: HeldUpload, partIds: readonly string[]): readonly UploadPart[] {
  const chosen = partIds.map((partId, index) => {
    const part = parts.get(partId);
    if (part !== undefined && partIds.indexOf(partId) === index) return part;
    const what = part === undefined ? "is not a part of" : "comes twice for";
    const message = `part_ids[${index}] ${quote(partId)} ${what} upload ${quote(upload.id)}`;
    throw new LoraFleetError("invalid_request", message, { param: "part_ids" });
  });
  const size = sizeOf(chosen);
  if (size === upload.bytes && size > 0) return chosen;
  const message = `the parts have ${size} bytes together; upload ${quote(upload.id)} was announced with ` +
    `${upload.bytes}`;
  throw new LoraFleetError("invalid_request", message, { param: "part_ids" });
}

/** Throws `corrupt` if the MD5 of the joined bytes differs from `md5`. */
async function joinParts(
  files: FileStore,
  paths: readonly string[],
  md5: string | null,
): Promise<ReceivedFile> {
  const hash = createHash("md5");
  const received = await files.receive(async function* () {
    for (const path of paths) {
      for await (const chunk of (await Deno.open(path)).readable) {
        hash.update(chunk);
        yield chunk;
      }
    }
  }());
  const found = hash.digest("hex");
  if (md5 === null || md5.toLowerCase() === found) return received;
  await files.discard(received);
  const message = `md5 is ${quote(md5)}, but the parts have ${quote(found)}`;
  throw new LoraFleetError("corrupt", message, { param: "md5" });
}

async function writePart(path: string, body: AsyncIterable<Uint8Array>, maxBytes: number): Promise<number> {
  const written = await writeStreamedFile(path, body, { maxBytes }).catch((thrown) => {
    throw thrown instanceof FileTooLargeError ? new FileTooLargeError(maxBytes, "the part", "data") : thrown;
  });
  return written.size;
}

function sizeOf(parts: Iterable<UploadPart>): number {
  return Array.from(parts).reduce((sum, { size }) => sum + size, 0);
}

async function removeFolder(path: string): Promise<void> {
  await Deno.remove(path, { recursive: true }).catch((thrown) => {
    if (!(thrown instanceof Deno.errors.NotFound)) throw thrown;
  });
}
