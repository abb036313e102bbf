/** Requests to a hub: within bounds of size, redirects and silence, repeated while that can help. */
import { type Clock, systemClock } from "../clock.ts";
import { LoraFleetError, messageOf } from "../errors.ts";
import { pcg32, type Prng } from "../prng.ts";
import { HubRefusal, refusalOf } from "./hub_error.ts";
import type { HubSettings } from "./hub_settings.ts";
import { boundedFetch, type ResponseBounds } from "./net/bounded_fetch.ts";
import { createConfinedFetch } from "./net/confined_fetch.ts";
import { unstalledFetch } from "./net/stalled_fetch.ts";
import {
  askedDelayMs,
  HUB_PATIENCE,
  type HubPatience,
  isRetryableStatus,
  retryDelayMs,
} from "./retry_delay.ts";

export interface HubOptions extends HubSettings {
  readonly clock?: Clock;
  readonly patience?: Partial<HubPatience>;
  /** The machine's own if left out. */
  readonly fetch?: typeof fetch;
}

/** For metadata; the largest repositories have a few megabytes. */
export const METADATA_BOUNDS: ResponseBounds = { maxBytes: 32 * 2 ** 20, maxResponses: 1000 };

export const patienceOf = (hub: HubOptions): HubPatience => ({ ...HUB_PATIENCE, ...hub.patience });
export const clockOf = (hub: HubOptions): Clock => hub.clock ?? systemClock;

/** A `fetch` for one exchange with the hub, within `bounds`. */
export function hubFetch(hub: HubOptions, bounds: ResponseBounds = METADATA_BOUNDS): typeof fetch {
  const unstalled = unstalledFetch(hub.fetch ?? fetch, clockOf(hub), patienceOf(hub).stallMs);
  return boundedFetch(createConfinedFetch({ endpoint: hub.endpoint, fetch: unstalled }), bounds);
}

export function authorization(hub: HubSettings): Record<string, string> {
  return hub.token === null ? {} : { authorization: `Bearer ${hub.token}` };
}

/** Failures in a row and in all, and the waits between them. */
export class Retries {
  readonly #hub: HubOptions;
  readonly #random: Prng;
  #inRow = 0;
  #inAll = 0;

  constructor(hub: HubOptions) {
    this.#hub = hub;
    this.#random = pcg32(clockOf(hub).now());
  }

  /** Something arrived: the hub is alive. */
  succeeded(): void {
    this.#inRow = 0;
  }

  /** Waits before the next try, or rejects with `thrown` if there will be none. */
  async failed(thrown: unknown, signal?: AbortSignal): Promise<void> {
    signal?.throwIfAborted();
    const patience = patienceOf(this.#hub);
    this.#inRow++;
    this.#inAll++;
    if (!isRetryable(thrown) || this.#inRow >= patience.tries || this.#inAll >= patience.maxFailures) {
      throw thrown;
    }
    const asked = thrown instanceof HubRefusal
      ? askedDelayMs(thrown.headers, clockOf(this.#hub).now())
      : null;
    const delay = retryDelayMs(this.#inRow, asked, this.#random.uniform(), patience);
    if (delay === null) throw thrown;
    await clockOf(this.#hub).sleep(delay, signal);
  }
}

/** Broken connections, silence and a hub's passing failures; not what it refuses, nor what our bounds do. */
export function isRetryable(thrown: unknown): boolean {
  if (thrown instanceof HubRefusal) return isRetryableStatus(thrown.status);
  return thrown instanceof LoraFleetError ? thrown.code === "timeout" : thrown instanceof Error;
}

/** One answer that is a success, after as many tries as the patience allows. Throws a `HubRefusal`, or what `fetch` threw. */
export async function ask(
  hub: HubOptions,
  path: string,
  { signal, fetch = hubFetch(hub), ...init }: RequestInit & {
    signal?: AbortSignal;
    fetch?: typeof globalThis.fetch;
  },
): Promise<Response> {
  const retries = new Retries(hub);
  const url = path.startsWith("http") ? path : `${hub.endpoint}/${path}`;
  const headers = { ...authorization(hub), ...init.headers as Record<string, string> };
  for (;;) {
    try {
      const response = await fetch(url, { ...init, headers, ...(signal === undefined ? {} : { signal }) });
      if (response.ok) return response;
      throw await refusalOf(response);
    } catch (thrown) {
      await retries.failed(thrown, signal);
    }
  }
}

/** A hub's answer in JSON; a broken body counts as a failure of the request. */
export async function askJson(
  hub: HubOptions,
  path: string,
  signal?: AbortSignal,
  fetch: typeof globalThis.fetch = hubFetch(hub),
): Promise<{ readonly body: unknown; readonly headers: Headers }> {
  const retries = new Retries(hub);
  for (;;) {
    const response = await ask(hub, path, { fetch, ...(signal === undefined ? {} : { signal }) });
    let text: string;
    try {
      text = await response.text();
    } catch (thrown) {
      await retries.failed(thrown, signal);
      continue;
    }
    try {
      return { body: JSON.parse(text), headers: response.headers };
    } catch (thrown) {
      throw new Error(`its answer is no JSON: ${messageOf(thrown)}`, { cause: thrown });
    }
  }
}
