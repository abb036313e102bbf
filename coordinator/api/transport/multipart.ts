/**
 * Reads `multipart/form-data` (RFC 7578) as it arrives, so that an upload of any size needs one buffer: the parsers of
 * the platform and of Hono hold the whole body in memory.
 */
import { Buffer } from "node:buffer";
import { LoraFleetError, quote } from "../../../shared/errors.ts";

const MAX_HEADER_BYTES = 8192;

export interface Part {
  readonly name: string;
  /** Null for a plain field. */
  readonly filename: string | null;
  /** To be read before the next part is asked for; what is left is skipped. */
  readonly body: AsyncGenerator<Uint8Array>;
}

/** The boundary of a content type; null where it is not `multipart/form-data` with a boundary. */
export function boundaryOf(contentType: string): string | null {
  const match = /^multipart\/form-data\s*;(?:.*;)?\s*boundary=(?:"([^"]{1,70})"|([^\s;"]{1,70}))/i
    .exec(contentType);
  return match?.[1] ?? match?.[2] ?? null;
}

/**
 * The parts in their order. Throws a `LoraFleetError` with code `invalid_request` where the body is not such a form or
 * ends too early; what the stream throws is passed on.
 */
export async function* readMultipart(
  stream: ReadableStream<Uint8Array>,
  boundary: string,
): AsyncGenerator<Part> {
  const delimiter = Buffer.from(`\r\n--${boundary}`);
  const source = new Source(stream);
  try {
    for await (const _ of source.until(delimiter)) { /* a preamble means nothing */ }
    while (true) {
      const ending = (await source.line()).trimEnd();
      if (ending === "--") return;
      if (ending !== "") throw malformed(`${quote(ending)} follows a boundary`);
      const part = parseHeaders(await source.headers());
      const body = source.until(delimiter);
      yield { ...part, body };
      for await (const _ of body) { /* what the caller did not want */ }
    }
  } finally {
    await source.cancel();
  }
}

/** The stream with what was read from it and not yet used. */
class Source {
  readonly #reader: ReadableStreamDefaultReader<Uint8Array>;
  // The first boundary stands at the very beginning, without the line break that the others have.
  #buffer = Buffer.from("\r\n");
  #ended = false;

  constructor(stream: ReadableStream<Uint8Array>) {
    this.#reader = stream.getReader();
  }

  async #fill(): Promise<void> {
    const { done, value } = await this.#reader.read();
    if (done) {
      this.#ended = true;
      throw malformed("it ends before its last boundary");
    }
    this.#buffer = Buffer.concat([this.#buffer, value]);
  }

  #take(length: number): Buffer {
    const taken = this.#buffer.subarray(0, length);
    this.#buffer = this.#buffer.subarray(length);
    return taken;
  }

  /** Everything up to `delimiter`, which is consumed too. */
  async *until(delimiter: Buffer): AsyncGenerator<Uint8Array> {
    while (true) {
      const index = this.#buffer.indexOf(delimiter);
      if (index >= 0) {
        const last = this.#take(index);
        this.#take(delimiter.length);
        if (last.length > 0) yield last;
        return;
      }
      // The delimiter may have begun at the end of the buffer.
      const certain = this.#buffer.length - delimiter.length + 1;
      if (certain > 0) yield this.#take(certain);
      await this.#fill();
    }
  }

  async #textUntil(delimiter: string): Promise<string> {
    let index: number;
    while ((index = this.#buffer.indexOf(delimiter)) < 0) {
      // After the last boundary nothing has to come, not even a line break.
      if (delimiter === "\r\n" && this.#buffer.subarray(0, 2).toString() === "--") return "--";
      if (this.#buffer.length > MAX_HEADER_BYTES) {
        throw malformed(`a header exceeds ${MAX_HEADER_BYTES} bytes`);
      }
      await this.#fill();
    }
    const text = this.#take(index).toString();
    this.#take(delimiter.length);
    return text;
  }

  async line(): Promise<string> {
    const line = await this.#textUntil("\r\n");
    return line.startsWith("--") ? "--" : line;
  }

  headers(): Promise<string> {
    return this.#textUntil("\r\n\r\n");
  }

  async cancel(): Promise<void> {
    if (!this.#ended) await this.#reader.cancel().catch(() => {});
  }
}

function parseHeaders(text: string): { name: string; filename: string | null } {
  const disposition = /^content-disposition:\s*form-data\s*;(.*)$/im.exec(text)?.[1];
  const name = parameterOf(disposition ?? "", "name");
  if (name === null) throw malformed(`a part has no name in ${quote(text)}`);
  return { name, filename: parameterOf(disposition ?? "", "filename") };
}

/** Browsers and `fetch` escape a quotation mark and line breaks in names as %22, %0D and %0A, and nothing else. */
function parameterOf(disposition: string, key: string): string | null {
  const match = new RegExp(`(?:^|;)\\s*${key}=(?:"((?:[^"\\\\]|\\\\.)*)"|([^\\s;]+))`, "i").exec(disposition);
  const value = match?.[1] ?? match?.[2];
  if (value === undefined) return null;
  return value.replace(/\\(["\\])/g, "$1").replace(/%(22|0D|0A)/gi, (escape) => decodeURIComponent(escape));
}

function malformed(why: string): LoraFleetError {
  return new LoraFleetError("invalid_request", `the body is not a valid multipart/form-data form: ${why}`);
}
