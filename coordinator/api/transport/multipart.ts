/**
 * Reads `multipart/form-data` (RFC 7578) as it arrives, so an upload of any size needs one buffer. The platform's parser and
 * Hono's hold the whole body in memory.
 */
import { Buffer } from "node:buffer";
import { LoraFleetError, quote } from "../../../shared/errors.ts";

const MAX_HEADER_BYTES = 8192;

export interface Part {
  readonly name: string;
  /** Null for a plain field. */
  readonly filename: string | null;
  /** Read it before requesting the next part; unread bytes are skipped. */
  readonly body: AsyncGenerator<Uint8Array>;
}

/** The boundary of a content type; null if it is not `multipart/form-data` with a boundary. */
export function boundaryOf(contentType: string): string | null {
  const match = /^multipart\/form-data\s*;(?:.*;)?\s*boundary=(?:"([^"]{1,70})"|([^\s;"]{1,70}))/i
    .exec(contentType);
  return match?.[1] ?? match?.[2] ?? null;
}

/**
 * The parts in their order. Throws `invalid_request` if the body is not such a form or ends early, and any error of the
 * stream.
 */
export async function* readMultipart(
  stream: ReadableStream<Uint8Array>,
  boundary: string,
): AsyncGenerator<Part> {
  const delimiter = Buffer.from(`\r\n--${boundary}`);
  const source = new Source(stream);
  try {
    for await (const _ of source.until(delimiter)) { /* the preamble has no meaning */ }
    while (true) {
      const ending = (await source.line()).trimEnd();
      if (ending === "--") return;
      if (ending !== "") throw malformed(`${quote(ending)} follows a boundary`);
      const part = parseHeaders(await source.headers());
      const body = source.until(delimiter);
      yield { ...part, body };
      for await (const _ of body) { /* the unread rest */ }
    }
  } finally {
    await source.cancel();
  }
}

/** The stream, with a buffer of unused bytes. */
class Source {
  readonly #reader: ReadableStreamDefaultReader<Uint8Array>;
  // The first boundary has no line break before it, unlike the others.
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

  /** The bytes up to `delimiter`, which is consumed as well. */
  async *until(delimiter: Buffer): AsyncGenerator<Uint8Array> {
    while (true) {
      const index = this.#buffer.indexOf(delimiter);
      if (index >= 0) {
        const last = this.#take(index);
        this.#take(delimiter.length);
        if (last.length > 0) yield last;
        return;
      }
      // The end of the buffer may be the beginning of the delimiter.
      const certain = this.#buffer.length - delimiter.length + 1;
      if (certain > 0) yield this.#take(certain);
      await this.#fill();
    }
  }

  async #textUntil(delimiter: string): Promise<string> {
    let index: number;
    while ((index = this.#buffer.indexOf(delimiter)) < 0) {
      // The last boundary may be the end, without a line break.
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

/** Browsers and `fetch` escape only quotation marks and line breaks in names, as %22, %0D and %0A. */
function parameterOf(disposition: string, key: string): string | null {
  const match = new RegExp(`(?:^|;)\\s*${key}=(?:"((?:[^"\\\\]|\\\\.)*)"|([^\\s;]+))`, "i").exec(disposition);
  const value = match?.[1] ?? match?.[2];
  if (value === undefined) return null;
  return value.replace(/\\(["\\])/g, "$1").replace(/%(22|0D|0A)/gi, (escape) => decodeURIComponent(escape));
}

function malformed(why: string): LoraFleetError {
  return new LoraFleetError("invalid_request", `the body is not a valid multipart/form-data form: ${why}`);
}
