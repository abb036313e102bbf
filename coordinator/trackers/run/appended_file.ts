/** A file that grows by whole records, each once, although a process may end between a write and the note of it. */
import { dirname } from "@std/path";
import { concat } from "./bytes.ts";
import { LoraFleetError, messageOf, quote } from "../../../shared/errors.ts";

export class AppendedFile {
  readonly #path: string;
  readonly #wholeRecords: (bytes: Uint8Array) => number;

  /** `wholeRecords` returns how many of the bytes belong to whole records. */
  constructor(path: string, wholeRecords: (bytes: Uint8Array) => number) {
    this.#path = path;
    this.#wholeRecords = wholeRecords;
  }

  /**
   * Writes `bytes` after the first `from` bytes, in place of what follows them; null: from the beginning, after `header`.
   * Returns the file's new size. If the file is shorter, because it was deleted or its disk lost it, appends after its last whole record. Throws
   * `storage`.
   */
  async append(header: Uint8Array, records: Uint8Array, from: number | null): Promise<number> {
    try {
      await Deno.mkdir(dirname(this.#path), { recursive: true });
      using file = await Deno.open(this.#path, { read: true, write: true, create: true });
      const { size } = await file.stat();
      const start = from === null
        ? 0
        : from <= size
        ? from
        : this.#wholeRecords(await Deno.readFile(this.#path));
      await file.truncate(start);
      await file.seek(start, Deno.SeekMode.Start);
      const bytes = start > 0 ? records : concat([header, records]);
      for (let written = 0; written < bytes.length;) written += await file.write(bytes.subarray(written));
      await file.sync();
      return start + bytes.length;
    } catch (thrown) {
      const message = `cannot write ${quote(this.#path)}: ${messageOf(thrown)}`;
      throw new LoraFleetError("storage", message, { cause: thrown });
    }
  }
}
