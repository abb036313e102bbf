/** Requests to RunPod: what is worth repeating is repeated, and every other answer becomes an error that says what to do. */
import { type Clock } from "../../../shared/clock.ts";
import { LoraFleetError, messageOf } from "../../../shared/errors.ts";
import { problemSchema } from "./schemas.ts";

export const RUNPOD_API = "https://api.runpod.io";

export interface Connection {
  /** Without a path. */
  readonly apiUrl: string;
  readonly apiKey: string;
  readonly fetch: typeof fetch;
  readonly clock: Clock;
}

/** RunPod's answer to a creation that it will not do: no capacity, or an account without access to this kind of GPU. */
export interface Refusal {
  readonly kind: "refused";
  readonly detail: string;
}

const [ATTEMPTS, FIRST_PAUSE_MS, MAX_PAUSE_MS] = [4, 1000, 60_000];
const REQUEST_MS = 60_000;

interface Request {
  readonly method: "GET" | "POST" | "DELETE";
  /** From the root: `/v2/pods`. */
  readonly path: string;
  readonly body?: unknown;
  /** Whether the same request twice does no harm. */
  readonly isRepeatable: boolean;
}

/**
 * Any answer but 429 and 5xx. Throws `timeout` without one, `unauthorized` for 401, and the signal's reason.
 */
export async function request(
  connection: Connection,
  asked: Request,
  signal: AbortSignal,
): Promise<Response> {
  const { clock } = connection;
  for (let attempt = 1;; attempt++) {
    signal.throwIfAborted();
    const { response, failure } = await tryOnce(connection, asked, signal);
    const isLimited = response?.status === 429;
    if (response !== null && response.status < 500 && !isLimited) {
      if (response.status === 401) throw await unauthorized(response);
      return response;
    }
    // A request that was limited has not been looked at.
    if (attempt >= ATTEMPTS || !(asked.isRepeatable || isLimited)) {
      const message = `RunPod does not answer ${asked.method} ${asked.path}: ${failure}`;
      throw new LoraFleetError("timeout", message);
    }
    const seconds = Number(response?.headers.get("retry-after") ?? NaN);
    const pauseMs = Number.isFinite(seconds) ? seconds * 1000 : FIRST_PAUSE_MS * 2 ** (attempt - 1);
    await clock.sleep(Math.min(pauseMs, MAX_PAUSE_MS), signal);
  }
}

async function tryOnce(
  { apiUrl, apiKey, fetch }: Connection,
  { method, path, body }: Request,
  signal: AbortSignal,
) {
  try {
    const response = await fetch(`${apiUrl}${path}`, {
      method,
      headers: {
        authorization: `Bearer ${apiKey}`,
        ...(body === undefined ? {} : { "content-type": "application/json" }),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      signal: AbortSignal.any([signal, AbortSignal.timeout(REQUEST_MS)]),
    });
    if (response.status < 500 && response.status !== 429) return { response, failure: "" };
    return { response, failure: `${response.status} ${await detailOf(response)}` };
  } catch (thrown) {
    signal.throwIfAborted();
    return { response: null, failure: messageOf(thrown) };
  }
}

/** What the body of an error says. */
export async function detailOf(response: Response): Promise<string> {
  const text = await response.text();
  try {
    const { detail, errors = [] } = problemSchema.parse(JSON.parse(text));
    return [detail, ...errors].join("; ");
  } catch {
    return text.slice(0, 200);
  }
}

async function unauthorized(response: Response): Promise<LoraFleetError> {
  const message = `RunPod refuses the key in RUNPOD_API_KEY (${await detailOf(response)}); ` +
    "create one that may write pods at https://console.runpod.io/user/settings";
  return new LoraFleetError("unauthorized", message, { param: "RUNPOD_API_KEY" });
}
