/** OpenAI's `expires_after`: an upload's lifetime. */
import { LoraFleetError, quote } from "../../../shared/errors.ts";

/** OpenAI's bounds: an hour, thirty days. */
const MIN_SECONDS = 3600;
const MAX_SECONDS = 2_592_000;

/**
 * A file's lifetime in milliseconds; null if neither part is given. Throws `invalid_request` that names the part at fault as a
 * form spells it.
 */
export function parseExpiresAfter(anchor: unknown, seconds: unknown): number | null {
  const isGiven = (value: unknown) => value !== null && value !== undefined;
  if (!isGiven(anchor) && !isGiven(seconds)) return null;
  if (anchor !== "created_at") throw invalid("anchor", anchor, '"created_at" is needed');
  const count = typeof seconds === "string" && /^[0-9]{1,10}$/.test(seconds) ? Number(seconds) : seconds;
  if (typeof count !== "number" || !Number.isInteger(count) || count < MIN_SECONDS || count > MAX_SECONDS) {
    const message = `a whole number from ${MIN_SECONDS} (an hour) to ${MAX_SECONDS} (30 days) is needed`;
    throw invalid("seconds", seconds, message);
  }
  return 1000 * count;
}

function invalid(part: "anchor" | "seconds", value: unknown, right: string): LoraFleetError {
  const param = `expires_after[${part}]`;
  const what = value === undefined || value === null ? "is missing" : `is ${quote(value)}`;
  return new LoraFleetError("invalid_request", `${param} ${what}: ${right}`, { param });
}
