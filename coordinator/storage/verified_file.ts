/** A file is what its record says, or it is not served: its SHA-256 is computed before the first byte goes out. */
import { createHash } from "node:crypto";
import { LoraFleetError, messageOf, quote } from "../../shared/errors.ts";

/** A stored file is not what was recorded of it; the bytes are set aside, and nobody gets them. */
export class DamagedFileError extends LoraFleetError {
  constructor(what: string, how: string) {
    super("corrupt", `${what} is damaged in the coordinator's data folder: ${how}`);
  }
}

export interface RecordedFile {
  readonly size: number;
  /** In hexadecimal. */
  readonly sha256: string;
}

export interface FileVerifier {
  /**
   * Resolves when the file at `path` has the recorded size and SHA-256. One that was read once is not read again while its
   * size, its time and its inode stay. Throws `DamagedFileError` and renames the file to `….damaged`; `storage` where it cannot
   * be read.
   * @param what for the message, without the path: API users have no business with it
   */
  verify(path: string, recorded: RecordedFile, what: string): Promise<void>;
}

/** So many files are remembered, the newest. */
const MOST_REMEMBERED = 10_000;

export function createFileVerifier(): FileVerifier {
  const verified = new Map<string, string>();
  /** By path: who asks twice at once reads once. */
  const reading = new Map<string, Promise<string>>();

  async function hashOnce(path: string): Promise<string> {
    const hash = reading.get(path) ?? sha256OfFile(path).finally(() => reading.delete(path));
    reading.set(path, hash);
    return await hash;
  }

  return {
    async verify(path, { size, sha256 }, what) {
      try {
        const stat = await Deno.stat(path);
        const mark = `${sha256} ${stat.size} ${stat.mtime?.getTime()} ${stat.ctime?.getTime()} ${stat.ino}`;
        if (verified.get(path) === mark) return;
        const found = stat.size === size ? await hashOnce(path) : null;
        if (found === sha256) {
          if (verified.size >= MOST_REMEMBERED) verified.clear();
          verified.set(path, mark);
          return;
        }
        verified.delete(path);
        await Deno.rename(path, `${path}.damaged`);
        const how = found === null
          ? `it has ${stat.size} bytes, ${size} were stored`
          : `its SHA-256 is ${found}, ${sha256} was stored`;
        throw new DamagedFileError(what, how);
      } catch (thrown) {
        if (thrown instanceof LoraFleetError) throw thrown;
        if (thrown instanceof Deno.errors.NotFound) {
          const wasDamaged = await Deno.stat(`${path}.damaged`).then(() => true, () => false);
          if (wasDamaged) throw new DamagedFileError(what, "it was found so earlier, and was set aside");
          throw new LoraFleetError("not_found", `${what} is not there any more`, { cause: thrown });
        }
        throw new LoraFleetError("storage", `cannot read ${what}: ${reasonOf(thrown)}`, { cause: thrown });
      }
    },
  };
}

/** Without the path. */
function reasonOf(thrown: unknown): string {
  return thrown instanceof Error && thrown.name !== "Error" ? thrown.name : quote(messageOf(thrown));
}

/** In hexadecimal. @param from the first byte that counts */
export async function sha256OfFile(path: string, from = 0): Promise<string> {
  using file = await Deno.open(path);
  if (from > 0) await file.seek(from, Deno.SeekMode.Start);
  const hash = createHash("sha256");
  const buffer = new Uint8Array(2 ** 20);
  for (;;) {
    const count = await file.read(buffer);
    if (count === null) return hash.digest("hex");
    hash.update(buffer.subarray(0, count));
  }
}
