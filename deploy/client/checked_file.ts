/** A download of any size: its file appears once it is whole and has the announced checksum. */
import { createHash } from "node:crypto";
import { LoraFleetError, messageOf, quote } from "../../shared/errors.ts";

/** Throws `corrupt` for different bytes, `storage` for a failure of the disk, `timeout` for one of the connection. */
export async function writeChecked(
  body: ReadableStream<Uint8Array<ArrayBuffer>> | null,
  path: string,
  sha256: string,
): Promise<void> {
  const part = `${path}.part`;
  const hash = createHash("sha256");
  const hashed = new TransformStream<Uint8Array<ArrayBuffer>, Uint8Array<ArrayBuffer>>({
    transform(chunk, controller) {
      hash.update(chunk);
      controller.enqueue(chunk);
    },
  });
  try {
    const file = await Deno.open(part, { write: true, create: true, truncate: true });
    await (body ?? new Blob([]).stream()).pipeThrough(hashed).pipeTo(file.writable);
    const digest = hash.digest("hex");
    if (digest !== sha256) {
      const message = `the downloaded ${quote(path)} has the SHA-256 ${digest}; ${sha256} is announced`;
      throw new LoraFleetError("corrupt", message);
    }
    await Deno.rename(part, path);
  } catch (thrown) {
    await Deno.remove(part).catch(() => {});
    if (thrown instanceof LoraFleetError) throw thrown;
    const code = thrown instanceof TypeError ? "timeout" : "storage";
    throw new LoraFleetError(code, `cannot download ${quote(path)}: ${messageOf(thrown)}`, { cause: thrown });
  }
}
