/** How long to wait before a request is repeated, and whether repeating it can help. */

export interface HubPatience {
  /** A hub that is silent for this long has stopped: clients and queued jobs wait for it. */
  readonly stallMs: number;
  /** After the first failure; doubles with each further one. */
  readonly firstRetryMs: number;
  readonly maxRetryMs: number;
  /** The longest wait that a hub may ask for; its windows are five minutes. */
  readonly maxAskedMs: number;
  /** Failures in a row, without a byte in between, before giving up. */
  readonly tries: number;
  /** Failures in all, however many bytes come in between. */
  readonly maxFailures: number;
}

/** For transfers that jobs wait for: a minute's outage is survived. */
export const HUB_PATIENCE: HubPatience = {
  stallMs: 30_000,
  firstRetryMs: 1000,
  maxRetryMs: 30_000,
  maxAskedMs: 320_000,
  tries: 8,
  maxFailures: 500,
};

/** For questions that a client waits for. */
export const HASTY: Partial<HubPatience> = { tries: 2, maxAskedMs: 5000 };

export function isRetryableStatus(status: number): boolean {
  return status === 408 || status === 429 || status === 500 || (status >= 502 && status <= 504);
}

/** What the hub asks for: Retry-After in seconds or as a date, or the reset of an exhausted RateLimit; null without. */
export function askedDelayMs(headers: Headers, now: number): number | null {
  const after = headers.get("retry-after");
  if (after !== null && /^\d+$/.test(after)) return Number(after) * 1000;
  const date = after === null ? NaN : Date.parse(after);
  if (!Number.isNaN(date)) return Math.max(0, date - now);
  // `"api";r=0;t=55`: no requests remain for 55 seconds.
  const [, seconds] = /;\s*r=0\s*;\s*t=(\d+)/.exec(headers.get("ratelimit") ?? "") ?? [];
  return seconds === undefined ? null : Number(seconds) * 1000;
}

/**
 * Exponential with jitter, so that a fleet's requests do not return all at once; never before the hub asked. Null if the hub
 * asks for more patience than there is.
 * @param failures in a row, 1 or more
 * @param random in [0, 1)
 */
export function retryDelayMs(
  failures: number,
  asked: number | null,
  random: number,
  { firstRetryMs, maxRetryMs, maxAskedMs }: HubPatience,
): number | null {
  const backoff = Math.min(firstRetryMs * 2 ** (failures - 1), maxRetryMs) * (0.5 + random / 2);
  if (asked === null) return backoff;
  return asked > maxAskedMs ? null : asked + backoff / 2;
}
