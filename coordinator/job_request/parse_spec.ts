/** From drafted fields to a JobSpec, with errors that name a field as the client spelled it. */
import type { z } from "zod";
import type { LoraFleetError } from "../../shared/errors.ts";
import { type Bound, boundedValue, boundOf, exceededBound } from "../../shared/job/job_bounds.ts";
import { columnMappingSchema, type JobSpec, jobSpecSchema } from "../../shared/job/job_spec_schema.ts";
import type { Draft } from "./draft.ts";
import { explainIssue, invalidField, isObject, show } from "./errors.ts";
import { GROUPS } from "./fields.ts";
import { whyRefused } from "./fields/refused_values.ts";
import { unknownField } from "./known_fields.ts";

/** Parses the drafted fields. Throws `invalid_request` with the field as the client spelled it. */
export function parseSpec(draft: Draft): JobSpec {
  const nested: Record<string, unknown> = {};
  for (const [path, { value }] of draft.fields) {
    const [head, field] = path.split(".");
    if (field === undefined) nested[head!] = value;
    else nested[head!] = { ...(isObject(nested[head!]) ? nested[head!] as object : {}), [field]: value };
  }
  const result = jobSpecSchema.safeParse(nested);
  if (result.success) return result.data;
  throw explainSpecIssue(draft, result.error.issues[0]!);
}

function explainSpecIssue(draft: Draft, issue: z.core.$ZodIssue): LoraFleetError {
  const depth = GROUPS.some((group) => group === issue.path[0]) ? 2 : 1;
  const path = issue.path.slice(0, depth).join(".");
  const field = draft.fields.get(path);
  let [param, value] = [field?.param ?? path, field?.value];
  // In a field that is an object of fields, the inner one is at fault.
  for (const name of issue.path.slice(depth)) {
    if (typeof name !== "string" || !isObject(value)) break;
    [param, value] = [`${param}.${name}`, value[name]];
  }
  const why = whyRefused(path, value);
  if (why !== null) return invalidField(param, `${param} is ${show(value)}, ${why}`);
  // The schema's own limit, that of exact whole numbers, would be bad advice.
  const bound = issue.code === "too_big" ? boundOf(path) : null;
  if (bound !== null && typeof value === "number" && value > bound.max) {
    return beyondBound(bound, param, value);
  }
  if (issue.code === "unrecognized_keys" && path === "dataset.column_mapping") {
    return unknownColumn(param, issue.keys[0]!, value);
  }
  if (issue.code === "unrecognized_keys") return unknownField(`${param}.${issue.keys[0]}`);
  return explainIssue(issue, param, value);
}

/** `rename_columns` of `datasets` has the file's names on the left, which is easily mixed up. */
function unknownColumn(param: string, name: string, mapping: unknown): LoraFleetError {
  const columns = Object.keys(columnMappingSchema.shape);
  const target = isObject(mapping) ? mapping[name] : undefined;
  const hint = typeof target === "string" && columns.includes(target)
    ? `; write {${show(target)}: ${show(name)}}`
    : "";
  const message =
    `${param} has the key ${show(name)}; its keys are columns of the forms of rows (${
      columns.join(", ")
    }), ` +
    `its values what the file calls them${hint}`;
  return invalidField(`${param}.${name}`, message);
}

/** Refuses valid values beyond what a fleet can handle. */
export function checkBounds(draft: Draft, spec: JobSpec): void {
  const bound = exceededBound(spec);
  if (bound === null) return;
  const field = draft.fields.get(bound.path);
  throw beyondBound(bound, field?.param ?? bound.path, field?.written ?? boundedValue(spec, bound));
}

function beyondBound({ path, max, why }: Bound, param: string, value: unknown): LoraFleetError {
  return invalidField(param, `${param} is ${show(value)}; ${path} may be at most ${max}: ${why}`);
}
