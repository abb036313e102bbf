/** One stored file of a checkpoint, with its checksum beside it. */
import type { RecordedFile } from "./verified_file.ts";

export interface CheckpointFile extends RecordedFile {
  readonly name: string;
}

/** A file with the checksum beside it; null if either is missing. */
export async function readStored(path: string, name: string): Promise<CheckpointFile | null> {
  const sha256 = (await readIfThere(() => Deno.readTextFile(`${path}.sha256`)))?.slice(0, 64);
  const stat = await readIfThere(() => Deno.stat(path));
  return sha256 === undefined || stat === null ? null : { name, size: stat.size, sha256 };
}

export async function readIfThere<T>(read: () => Promise<T>): Promise<T | null> {
  try {
    return await read();
  } catch (thrown) {
    if (thrown instanceof Deno.errors.NotFound) return null;
    throw thrown;
  }
}

export async function removeIfThere(path: string): Promise<void> {
  await readIfThere(() => Deno.remove(path, { recursive: true }));
}
