/** Checks that the disk under a folder takes bytes, by writing some. */
import { LoraFleetError, messageOf } from "../../shared/errors.ts";
import { PRIVATE_FOLDER_MODE } from "./private_folder.ts";

/** More than a file system stores inline or keeps of a truncated file. */
const PROBE_BYTES = 64 * 1024;

/**
 * Throws `storage` if the folder does not take a small file. Leaves nothing behind.
 * @param what names the folder in the message, which clients of the API may read
 */
export async function assertTakesBytes(folder: string, what = "the data folder"): Promise<void> {
  const path = `${folder}/probe.tmp`;
  try {
    await Deno.mkdir(folder, { recursive: true, mode: PRIVATE_FOLDER_MODE });
    using file = await Deno.open(path, { write: true, create: true, truncate: true });
    const bytes = new Uint8Array(PROBE_BYTES);
    for (let written = 0; written < bytes.length;) written += await file.write(bytes.subarray(written));
    await file.sync();
  } catch (thrown) {
    const message = `cannot write to ${what}: ${reasonOf(thrown)}; make room on its disk`;
    throw new LoraFleetError("storage", message, { param: "data-folder", cause: thrown });
  } finally {
    await Deno.remove(path).catch(() => {});
  }
}

/** Without the path, which Deno appends to the system's message. */
function reasonOf(thrown: unknown): string {
  return messageOf(thrown).replace(/: \w+ '.*$/, "");
}
