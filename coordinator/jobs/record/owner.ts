/** The API key that made a job or a file, and how much it may have at a time. */
import { counted } from "../../../shared/counted.ts";
import { LoraFleetError } from "../../../shared/errors.ts";

/** What of a store is counted. */
interface Counted {
  unfinishedJobs(): readonly { readonly owner?: string | undefined }[];
  uploadedBytes(owner: string): number;
}

export interface Owner {
  /** The key's id; records keep it. */
  readonly id: string;
  /** For messages. */
  readonly name: string;
  /** Unfinished jobs; null: any number. */
  readonly maxJobs: number | null;
  /** Bytes of stored and announced uploads; null: any number. */
  readonly maxUploadBytes: number | null;
}

/** A key's quota is used up: nothing is wrong with the request, and trying again does not help. */
export class QuotaError extends LoraFleetError {
  constructor(message: string, param: string) {
    super("conflict", message, { param });
  }
}

/** Throws `QuotaError` if the key has as many unfinished jobs as it may have. Call it in the turn that stores the job. */
export function assertMayQueue(store: Pick<Counted, "unfinishedJobs">, owner: Owner | null): void {
  if (owner === null || owner.maxJobs === null) return;
  const count = store.unfinishedJobs().filter((job) => job.owner === owner.id).length;
  if (count < owner.maxJobs) return;
  const message = `the API key "${owner.name}" has ${counted(count, "unfinished job")} and may have ` +
    `${owner.maxJobs}: wait for one to end or cancel one, or ask an admin for more`;
  throw new QuotaError(message, "jobs");
}

/**
 * Throws `QuotaError` if the key may not store `bytes` more. Call it in the turn that stores the file.
 * @param announced bytes of its pending uploads
 */
export function assertMayStore(
  store: Pick<Counted, "uploadedBytes">,
  owner: Owner | null,
  bytes: number,
  announced = 0,
): void {
  if (owner === null || owner.maxUploadBytes === null) return;
  const stored = store.uploadedBytes(owner.id);
  if (stored + announced + bytes <= owner.maxUploadBytes) return;
  const pending = announced === 0 ? "" : ` and ${announced} announced`;
  const message =
    `the upload has ${bytes} bytes; the API key "${owner.name}" has ${stored} stored${pending} and ` +
    `may have ${owner.maxUploadBytes}: delete files that are no longer needed, or ask an admin for more`;
  throw new QuotaError(message, "upload_bytes");
}
