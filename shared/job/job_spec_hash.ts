/** The name of a configuration: equal for equal values, however they were spelled, on every machine. */
import { createHash } from "node:crypto";
import type { JobSpec } from "./job_spec_schema.ts";

/**
 * JSON with sorted keys and no white space; fields that are undefined are left out.
 * Throws a `TypeError` for what JSON has no word for (NaN, Infinity, a function): two different values must never
 * share a text.
 */
export function canonicalJson(value: unknown): string {
  if (value === null || typeof value === "boolean" || typeof value === "string") return JSON.stringify(value);
  if (typeof value === "number") {
    if (!Number.isFinite(value)) throw new TypeError(`canonicalJson: ${value} has no JSON form`);
    return JSON.stringify(value);
  }
  if (Array.isArray(value)) return `[${value.map(canonicalJson).join(",")}]`;
  if (typeof value === "object") {
    const fields = Object.entries(value).filter(([, field]) => field !== undefined)
      .sort(([a], [b]) => a < b ? -1 : a > b ? 1 : 0)
      .map(([key, field]) => `${JSON.stringify(key)}:${canonicalJson(field)}`);
    return `{${fields.join(",")}}`;
  }
  throw new TypeError(`canonicalJson: a ${typeof value} has no JSON form`);
}

/**
 * SHA-256 (hex) over the canonical spec and, if known, what the spec only names: the content of the
 * dataset and of the base model. State with a different hash is never loaded.
 */
export function specHash(
  spec: JobSpec,
  content: {
    readonly datasetSha256?: string;
    readonly modelHash?: string;
    readonly validationSha256?: string;
  } = {},
): string {
  return createHash("sha256").update(canonicalJson({ spec, ...content })).digest("hex");
}
