/** Serves a file only if it matches its record: computes its SHA-256 before the first byte is sent. */
import { createHash } from "node:crypto";
import { LoraFleetError, messageOf, quote } from "../../shared/errors.ts";
import { turnOfEventLoop } from "../../shared/std/turn.ts";

/** A stored file differs from its record; it is set aside and never served. */
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

interface FileVerifier {
  /**
   * Resolves if the file at `path` has the recorded size and SHA-256. Reads a file only once while its size, time and inode
   * stay. Throws `DamagedFileError` and renames the file to `….damaged`; `storage` if it cannot be read.
   * @param what names the file in messages, which API users read, without its path
   */
  verify(path: string, recorded: RecordedFile, what: string): Promise<void>;
}

const MAX_REMEMBERED = 10_000;
/** Hashed at once: a millisecond of a slow core. */
const PIECE_BYTES = 2 ** 18;

export function createFileVerifier(): FileVerifier {
  const verified = new Map<string, string>();
  /** By path, so that concurrent calls read the file once. */
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
          if (verified.size >= MAX_REMEMBERED) verified.clear();
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
          if (wasDamaged) throw new DamagedFileError(what, "it was found damaged earlier and set aside");
          throw new LoraFleetError("not_found", `${what} no longer exists`, { cause: thrown });
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

/** In hexadecimal. @param from the first byte to hash */
export async function sha256OfFile(path: string, from = 0): Promise<string> {
  using file = await Deno.open(path);
  if (from > 0) await file.seek(from, Deno.SeekMode.Start);
  const hash = createHash("sha256");
  const buffer = new Uint8Array(PIECE_BYTES);
  for (;;) {
    const count = await file.read(buffer);
    if (count === null) return hash.digest("hex");
    hash.update(buffer.subarray(0, count));
    await turnOfEventLoop();
  }
}
