/** The header `Idempotency-Key`, with which a client repeats a request without doing twice what it asks for. */
import { createHash } from "node:crypto";
import { z } from "@hono/zod-openapi";
import type { Context } from "hono";
import { LoraFleetError, quote } from "../../../shared/errors.ts";
import { canonicalJson } from "../../../shared/job/job_spec_hash.ts";
import type { KeyedRequest } from "../../jobs/stores/job_store.ts";

const NAME = "idempotency-key";
/** Visible ASCII, as in tokens that clients make up. */
const KEY = /^[\x21-\x7e]{1,255}$/;

/** For a route's description. */
export const idempotencyHeader = z.object({
  [NAME]: z.string().max(255).optional().openapi({
    description:
      "The same key with the same body gets the job that it has made, whatever became of the answer",
  }),
});

/**
 * Null without the header. Throws `invalid_request`.
 * @param owner the API key's id: people who chose the same key mean different jobs
 */
export function keyedRequest(c: Context, body: unknown, owner?: string): KeyedRequest | null {
  const key = c.req.header(NAME);
  if (key === undefined) return null;
  if (!KEY.test(key)) {
    const message = `the header Idempotency-Key is ${
      quote(key)
    }; 1 to 255 visible ASCII characters are needed`;
    throw new LoraFleetError("invalid_request", message, { param: NAME });
  }
  // What JSON cannot say, such as the Infinity that 1e999 is read as, becomes null.
  const canonical = canonicalJson(JSON.parse(JSON.stringify(body)));
  return {
    key: owner === undefined ? key : `${owner} ${key}`,
    bodySha256: createHash("sha256").update(canonical).digest("hex"),
  };
}
