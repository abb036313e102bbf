/** What goes wrong between a hub and its clients, as data: tests list it before they start a download or an upload. */

export type HubFault = {
  /** The request's method, path and query: `GET /org/tiny/resolve/…`, and `/cdn/…` for the storage. */
  readonly on: RegExp;
  /** How many requests it hits. Default: 1. */
  readonly times?: number;
  /** How many it spares before. Default: 0. */
  readonly after?: number;
} & HubFaultKind;

export type HubFaultKind =
  /** An answer instead of the true one, as a balancer or a rate limit gives it. */
  | { readonly kind: "status"; readonly status: number; readonly headers?: Record<string, string> }
  /** The request is carried out, and its answer is lost on the way. */
  | { readonly kind: "lost" }
  /** The connection breaks after so many bytes of a body, the client's or the server's. */
  | { readonly kind: "break"; readonly bytes: number }
  /** The body ends after so many bytes as if it was whole. */
  | { readonly kind: "short"; readonly bytes: number }
  /** One byte of the body is a different one. */
  | { readonly kind: "corrupt"; readonly at: number }
  /** The body stops after so many bytes, and the connection stays open. */
  | { readonly kind: "stall"; readonly bytes: number }
  /** A pause before each chunk of 64 KiB. */
  | { readonly kind: "slow"; readonly pauseMs: number };

interface Pending {
  readonly fault: HubFault;
  spared: number;
  left: number;
}

export class HubFaults {
  readonly #pending: Pending[] = [];

  add(...faults: readonly HubFault[]): void {
    for (const fault of faults) {
      this.#pending.push({ fault, spared: fault.after ?? 0, left: fault.times ?? 1 });
    }
  }

  clear(): void {
    this.#pending.length = 0;
  }

  /** The fault for this request, which uses it up; null if there is none. */
  take(requestLine: string): HubFault | null {
    for (const pending of this.#pending) {
      if (pending.left === 0 || !pending.fault.on.test(requestLine)) continue;
      if (pending.spared > 0) {
        pending.spared--;
        continue;
      }
      pending.left--;
      return pending.fault;
    }
    return null;
  }
}

/** The answer in place of the true one, or null. */
export function answerInstead(fault: HubFault | null): Response | null {
  if (fault?.kind !== "status") return null;
  const body = fault.status === 204 ? null : `{"error":"a fault of the test: ${fault.status}"}`;
  return new Response(body, {
    status: fault.status,
    headers: { "content-type": "application/json", ...fault.headers },
  });
}

/** A 429 as the hub sends it. */
export function rateLimit(on: RegExp, seconds: number, times = 1): HubFault {
  const headers = {
    "ratelimit": `"api";r=0;t=${seconds}`,
    "ratelimit-policy": '"fixed window";"api";q=1000;w=300',
    "retry-after": String(seconds),
  };
  return { on, times, kind: "status", status: 429, headers };
}

/** The body with its fault. */
export async function* faulty(
  chunks: AsyncIterable<Uint8Array<ArrayBuffer>>,
  fault: HubFault | null,
  ended: AbortSignal,
): AsyncGenerator<Uint8Array<ArrayBuffer>> {
  let sent = 0;
  for await (const chunk of chunks) {
    if (fault?.kind === "slow") await pause(fault.pauseMs, ended);
    if (fault?.kind === "corrupt" && fault.at >= sent && fault.at < sent + chunk.length) {
      chunk[fault.at - sent]! ^= 1;
    }
    const limit = fault?.kind === "break" || fault?.kind === "short" || fault?.kind === "stall"
      ? fault.bytes - sent
      : Infinity;
    if (chunk.length >= limit) {
      if (limit > 0) yield chunk.slice(0, limit);
      if (fault?.kind === "stall") await pause(Infinity, ended);
      // The bytes on their way should arrive before the connection closes.
      if (fault?.kind === "break") await pause(20, ended);
      if (fault?.kind !== "short") throw new Error("the connection breaks");
      return;
    }
    yield chunk;
    sent += chunk.length;
  }
}

function pause(milliseconds: number, ended: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (ended.aborted) return resolve();
    const timer = milliseconds === Infinity ? undefined : setTimeout(done, milliseconds);
    ended.addEventListener("abort", done, { once: true });
    function done() {
      clearTimeout(timer);
      ended.removeEventListener("abort", done);
      resolve();
    }
  });
}
