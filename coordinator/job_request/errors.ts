/** Errors of a job request: what is so, and what would be right. */
import type { z } from "zod";
import { LoraFleetError, quote } from "../../shared/errors.ts";
import { canonicalJson } from "../../shared/job/job_spec_hash.ts";

export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** Clients send null for fields that they leave out. */
export function isAbsent(value: unknown): value is null | undefined {
  return value === null || value === undefined;
}

/** A value for a message. NaN and the infinities have no JSON form, and `null` would hide them. */
export function show(value: unknown): string {
  return typeof value === "number" ? String(value) : quote(value);
}

export function sameJson(left: unknown, right: unknown): boolean {
  if (typeof left !== typeof right) return false;
  if (typeof left === "number") return left === right;
  try {
    return canonicalJson(left) === canonicalJson(right);
  } catch {
    return false;
  }
}

export function invalidField(param: string, message: string): LoraFleetError {
  return new LoraFleetError("invalid_request", message, { param });
}

/** A schema's issue with the field that the client called `param` and set to `value`. */
export function explainIssue(issue: z.core.$ZodIssue, param: string, value: unknown): LoraFleetError {
  const isQuoted = issue.code === "invalid_type" && typeof value === "string" && value.trim() !== "" &&
    ["number", "int"].includes(issue.expected) && Number.isFinite(Number(value));
  const need = needOf(issue) + (isQuoted ? `, without quotes: ${Number(value)}` : "");
  return invalidField(param, `${param} is ${value === undefined ? "missing" : show(value)}; ${need}`);
}

/**
 * A schema's first issue with what a client sent: the field, its value, and what would be right.
 * @param fields that there are, for one that there is not; empty: left out of the message
 */
export function explainInput(
  error: z.ZodError,
  input: unknown,
  where: string,
  fields: readonly string[] = [],
): LoraFleetError {
  const issue = error.issues[0]!;
  if (issue.code === "unrecognized_keys") {
    const name = [...issue.path, issue.keys[0]].join(".");
    const others = fields.length === 0 ? "" : `; there are ${fields.join(", ")}`;
    return invalidField(name, `${where}there is no field ${quote(name)}${others}`);
  }
  const param = issue.path.map(String).join(".");
  let value = input;
  for (const name of issue.path) value = (value as Record<PropertyKey, unknown> | null | undefined)?.[name];
  const what = value === undefined ? "missing" : show(value);
  return invalidField(param || "body", `${where}${param || "the body"} is ${what}; ${needOf(issue)}`);
}

const TYPE_NAMES: Readonly<Record<string, string>> = {
  int: "a whole number",
  number: "a number",
  nan: "a number",
  boolean: "true or false",
  string: "a text",
  array: "a list",
  object: "an object of fields",
  record: "an object of fields",
};

function needOf(issue: z.core.$ZodIssue): string {
  switch (issue.code) {
    case "invalid_type":
      return `${TYPE_NAMES[issue.expected] ?? issue.expected} is needed`;
    case "too_small":
    case "too_big": {
      const small = issue.code === "too_small";
      const bound = small ? issue.minimum : issue.maximum;
      if (issue.origin === "string" || issue.origin === "array") {
        const thing = issue.origin === "string" ? "characters" : "entries";
        return small && bound === 1
          ? "it must not be empty"
          : `${small ? "at least" : "at most"} ${bound} ${thing} are needed`;
      }
      if (issue.inclusive === false) return `a number ${small ? "above" : "below"} ${bound} is needed`;
      return `a number of ${small ? "at least" : "at most"} ${bound} is needed`;
    }
    case "invalid_value":
      return issue.values.length === 1
        ? `only ${show(issue.values[0])} is supported`
        : `one of ${issue.values.map(show).join(", ")} is needed`;
    case "invalid_union": {
      const needs = issue.errors.flatMap((branch) => branch.slice(0, 1).map(needOf));
      return needs.join(", or ");
    }
    default:
      return issue.message;
  }
}
