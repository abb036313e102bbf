/** A file as a Blob that is read only when it is sent: models are larger than the memory. */

const READ_BYTES = 256 * 1024;

export class FileBlob extends Blob {
  readonly #path: string;
  readonly #start: number;
  readonly #end: number;
  readonly #onRead: (bytes: number) => void;

  private constructor(path: string, start: number, end: number, onRead: (bytes: number) => void) {
    super();
    this.#path = path;
    this.#start = start;
    this.#end = end;
    this.#onRead = onRead;
  }

  static async open(path: string): Promise<FileBlob> {
    const { size } = await Deno.stat(path);
    return new FileBlob(path, 0, size, () => {});
  }

  /** The same bytes; `onRead` is called with the size of each piece that a stream takes. */
  counted(onRead: (bytes: number) => void): FileBlob {
    return new FileBlob(this.#path, this.#start, this.#end, onRead);
  }

  override get size(): number {
    return this.#end - this.#start;
  }

  override slice(start = 0, end = this.size): FileBlob {
    const clamp = (at: number) => Math.min(Math.max(at < 0 ? this.size + at : at, 0), this.size);
    const [from, to] = [clamp(start), clamp(end)];
    return new FileBlob(this.#path, this.#start + from, this.#start + Math.max(from, to), this.#onRead);
  }

  override async arrayBuffer(): Promise<ArrayBuffer> {
    return (await this.bytes()).buffer;
  }

  override async bytes(): Promise<Uint8Array<ArrayBuffer>> {
    const bytes = new Uint8Array(this.size);
    let at = 0;
    for await (const chunk of this.#chunks()) {
      bytes.set(chunk, at);
      at += chunk.length;
    }
    return bytes;
  }

  override async text(): Promise<string> {
    return new TextDecoder().decode(await this.bytes());
  }

  override stream(): ReadableStream<Uint8Array<ArrayBuffer>> {
    return ReadableStream.from(this.#chunks());
  }

  async *#chunks(): AsyncGenerator<Uint8Array<ArrayBuffer>> {
    using file = await Deno.open(this.#path);
    await file.seek(this.#start, Deno.SeekMode.Start);
    for (let left = this.size; left > 0;) {
      const buffer = new Uint8Array(Math.min(READ_BYTES, left));
      const count = await file.read(buffer);
      if (count === null) throw new Error(`the file has become shorter by ${left} bytes`);
      left -= count;
      this.#onRead(count);
      yield buffer.subarray(0, count);
    }
  }
}
