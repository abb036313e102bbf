/** The bytes of a data file: as a stream for what is read from the beginning, in slices for what begins at its end. */
import { LoraFleetError, messageOf } from "../../errors.ts";

export interface DataBytes {
  readonly size: number;
  /** How much `streamOf` reads at once; left out: what is fast. */
  readonly chunkBytes?: number;
  /** Bytes [from, to), which must lie within the file. Throws a `LoraFleetError` with code `storage`. */
  slice(from: number, to: number): Promise<Uint8Array<ArrayBuffer>>;
}

/** Read at once: large enough that the number of reads costs nothing. */
const CHUNK_BYTES = 2 ** 18;

export async function* streamOf(bytes: DataBytes): AsyncGenerator<Uint8Array<ArrayBuffer>> {
  const { size, chunkBytes = CHUNK_BYTES } = bytes;
  for (let at = 0; at < size; at += chunkBytes) yield await bytes.slice(at, Math.min(size, at + chunkBytes));
}

export function bytesInMemory(bytes: Uint8Array<ArrayBuffer>): DataBytes {
  return { size: bytes.length, slice: (from, to) => Promise.resolve(bytes.slice(from, to)) };
}

export interface OpenDataFile extends DataBytes, Disposable {}

/**
 * Opens a file; who opens it disposes of it. Throws a `LoraFleetError` with code `storage`.
 * @param what the file in errors ("the training file")
 * @param onRead is called with the position up to which the file has been read
 */
export async function openDataFile(
  path: string,
  what: string,
  onRead: (bytes: number) => void = () => {},
): Promise<OpenDataFile> {
  const unreadable = (cause: unknown) =>
    new LoraFleetError("storage", `cannot read ${what}: ${messageOf(cause)}`, {
      param: "training_file",
      cause,
    });
  const file = await Deno.open(path).catch((cause) => {
    throw unreadable(cause);
  });
  const { size } = file.statSync();
  return {
    size,
    // Seeking and reading in one go: two readers of one file must not move each other's position.
    slice(from, to) {
      try {
        const read = readSlice(file, from, to);
        onRead(to);
        return Promise.resolve(read);
      } catch (cause) {
        return Promise.reject(unreadable(cause));
      }
    },
    [Symbol.dispose]: () => file.close(),
  };
}

function readSlice(file: Deno.FsFile, from: number, to: number): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(to - from);
  file.seekSync(from, Deno.SeekMode.Start);
  for (let at = 0; at < bytes.length;) {
    const count = file.readSync(bytes.subarray(at));
    if (count === null) throw new Error(`it ends at byte ${from + at}, before byte ${to}`);
    at += count;
  }
  return bytes;
}
