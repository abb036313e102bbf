/** Requests to a tracker's server, with errors that say who answered what, and never a key. */
import { LoraFleetError, messageOf } from "../../../shared/errors.ts";
import { createRedactor, type Redactor } from "../../../shared/redact.ts";

const TIMEOUT_MS = 20_000;
const MAX_ANSWER_SHOWN = 200;

export interface HttpOptions {
  /** Without a trailing slash. */
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  /** Values that no message may show. */
  readonly secrets: readonly (string | null)[];
  /** For a refused key: what to set. */
  readonly remedy: string;
}

export interface HttpRequest {
  readonly method: "GET" | "POST" | "PUT";
  /** Below the server's URL, or an address that it has given out for this one request, which gets no key. */
  readonly path: string;
  readonly body?: string | Uint8Array<ArrayBuffer>;
  readonly headers?: Readonly<Record<string, string>>;
  /** A status that is an answer and no error, besides 2xx. */
  readonly accept?: number;
}

export class TrackerHttp {
  readonly #options: HttpOptions;
  readonly #redactor: Redactor = createRedactor();

  constructor(options: HttpOptions) {
    this.#options = options;
    this.#redactor.add(...options.secrets);
  }

  /**
   * The parsed answer; null for an accepted status. Throws a `LoraFleetError`: `unauthorized`; `timeout` if it may work later;
   * `invalid_request` if it will not.
   */
  async request({ method, path, body, headers, accept }: HttpRequest, signal: AbortSignal): Promise<unknown> {
    const { url, headers: always, remedy } = this.#options;
    const isOwn = path.startsWith("/");
    const at = isOwn ? `${url}${path}` : path;
    const limited = AbortSignal.any([signal, AbortSignal.timeout(TIMEOUT_MS)]);
    let response: Response;
    let text: string;
    try {
      response = await fetch(at, {
        ...{ method, signal: limited },
        headers: isOwn ? { "content-type": "application/json", ...always, ...headers } : headers ?? {},
        ...body === undefined ? {} : { body },
      });
      text = await response.text();
    } catch (thrown) {
      if (signal.aborted) throw thrown;
      const why = limited.aborted ? `no answer in ${TIMEOUT_MS / 1000} s` : messageOf(thrown);
      throw this.#error("timeout", `cannot reach ${isOwn ? url : new URL(path).origin}: ${why}`);
    }
    const { status } = response;
    if (response.ok) return parseJson(text);
    if (status === accept) return null;
    if (isOwn && (status === 401 || status === 403)) {
      throw this.#error("unauthorized", `${url} refuses the key (HTTP ${status}); ${remedy}`);
    }
    const code = status >= 500 || status === 429 || status === 408 ? "timeout" : "invalid_request";
    throw this.#error(code, `${at.split("?")[0]} answers HTTP ${status}: ${shorten(text)}`);
  }

  #error(code: LoraFleetError["code"], message: string): LoraFleetError {
    return new LoraFleetError(code, this.#redactor.redact(message));
  }
}

/** Null if it is none. */
function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

/** The message of a JSON error, or the beginning of the text, on one line. */
function shorten(text: string): string {
  const parsed = parseJson(text);
  const message = typeof parsed === "object" && parsed !== null && "message" in parsed
    ? parsed.message
    : text;
  const line = String(message).replaceAll(/\s+/g, " ").trim();
  return line.length <= MAX_ANSWER_SHOWN ? line : `${line.slice(0, MAX_ANSWER_SHOWN)}…`;
}
