/** Writes an export's files one after the other into a folder, hashes them on the way, and counts the bytes for the progress. */
import { createHash } from "node:crypto";
import { LoraFleetError, messageOf, quote } from "../../../shared/errors.ts";
import { isDiskFull } from "../../../shared/disk_errors.ts";

export interface WrittenFile {
  readonly name: string;
  readonly size: number;
  readonly sha256: string;
}

export interface OutputFolder {
  /** Writes a file from pieces. @throws LoraFleetError `storage` */
  write(name: string, pieces: AsyncIterable<Uint8Array> | Iterable<Uint8Array>): Promise<void>;
  text(name: string, text: string): Promise<void>;
  copy(name: string, path: string): Promise<void>;
  readonly files: readonly WrittenFile[];
}

interface OutputOptions {
  /** Called after each piece with all bytes written so far, and waited for. */
  readonly onBytes?: (bytes: number) => void | Promise<void>;
  /** For the error of a full disk. */
  readonly bytesNeeded?: number;
  /** Creates a file; a test passes a device that is full. */
  readonly open?: (path: string) => Deno.FsFile;
}

export function openOutputFolder(folder: string, options: OutputOptions = {}): OutputFolder {
  const { onBytes = () => {}, bytesNeeded = null, open = createPrivate } = options;
  const files: WrittenFile[] = [];
  let total = 0;
  const onDisk = <T>(name: string, work: () => T): T => {
    try {
      return work();
    } catch (cause) {
      const of = bytesNeeded === null ? "" : ` of the ${bytesNeeded} that the export needs`;
      const reason = isDiskFull(cause)
        ? "the disk is full; make room and ask for the export again"
        : messageOf(cause);
      const message = `Writing ${quote(name)} failed after ${total} bytes${of}: ${reason}`;
      throw new LoraFleetError("storage", message, { param: "export", cause });
    }
  };
  const write: OutputFolder["write"] = async (name, pieces) => {
    const hash = createHash("sha256");
    let size = 0;
    const path = `${folder}/${name}`;
    using file = onDisk(name, () => open(path));
    for await (const piece of pieces) {
      hash.update(piece);
      onDisk(name, () => writeAll(file, piece));
      size += piece.length;
      await onBytes(total += piece.length);
    }
    onDisk(name, () => file.syncSync());
    files.push({ name, size, sha256: hash.digest("hex") });
  };
  return {
    write,
    text: (name, text) => write(name, [new TextEncoder().encode(text)]),
    async copy(name, path) {
      const source = await Deno.open(path).catch((cause) => {
        throw new LoraFleetError("storage", `cannot read ${quote(name)}: ${messageOf(cause)}`, { cause });
      });
      await write(name, source.readable);
    },
    files,
  };
}

function createPrivate(path: string): Deno.FsFile {
  return Deno.openSync(path, { write: true, createNew: true, mode: 0o600 });
}

function writeAll(file: Deno.FsFile, bytes: Uint8Array): void {
  for (let at = 0; at < bytes.length;) at += file.writeSync(bytes.subarray(at));
}
