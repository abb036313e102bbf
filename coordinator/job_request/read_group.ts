/** Reads a group of fields: those of the spec, and those that existing scripts set besides (fields.ts). */
import { type Draft, put } from "./draft.ts";
import { invalidField, isAbsent, isObject, sameJson, show } from "./errors.ts";
import { FIELD_RULES, type Group } from "./fields.ts";
import { isSameAsAbsent } from "./fields/same_as_absent.ts";
import { INNER_FIELDS, SHAPES, unknownField } from "./known_fields.ts";
import { fromPythonDump, isLibraryDefault } from "./library_fields.ts";

/** Fields whose value no error or log may repeat. */
const SECRETS: readonly string[] = ["token", "hub_token", "push_to_hub_token"];

/** Adds the fields of a group to the draft. Throws `invalid_request`. */
export function readGroup(draft: Draft, group: Group, fields: unknown): void {
  if (isAbsent(fields)) return;
  if (!isObject(fields)) {
    throw invalidField(group, `${group} is ${show(fields)}; an object of fields is needed`);
  }
  const entries = Object.entries(fields).map(([field, given]) =>
    [field, fromPythonDump(field, given)] as const
  );
  // quant_method decides on the class of configuration, before fields that only that class has.
  entries.sort(([left], [right]) => Number(right === "quant_method") - Number(left === "quant_method"));
  for (const [field, given] of entries) {
    // The libraries write null for any field that is not set, even for fields unknown to us.
    if (isAbsent(given) && group !== "fleet") continue;
    readField(draft, group, field, given);
  }
}

function readField(draft: Draft, group: Group, field: string, value: unknown): void {
  const param = `${group}.${field}`;
  if (Object.hasOwn(SHAPES[group], field)) {
    const given = withoutAbsent(param, value);
    return isSameAsAbsent(param, given) ? undefined : put(draft, param, given, param);
  }
  const rule = Object.hasOwn(FIELD_RULES[group], field) ? FIELD_RULES[group][field] : undefined;
  if (rule === undefined) throw unknownField(param);
  switch (rule.kind) {
    case "alias":
      return put(draft, rule.to, value, param);
    case "translated":
      if (typeof value !== "string" || !Object.hasOwn(rule.values, value)) {
        throw invalidField(param, `${param} is ${show(value)}; ${rule.reason}`);
      }
      return put(draft, rule.to, rule.values[value], param);
    case "resumed":
      draft.resumeFrom = resumeFromOf(param, value);
      return;
    case "afterwards":
      draft.afterwards.set(field, value);
      return;
    case "tracking":
      draft.tracking.set(field, value);
      return;
    case "only": {
      if (isLibraryDefault(group, field, value)) return;
      if (rule.values.some((allowed) => sameJson(allowed, value)) || rule.means(value)) return;
      const shown = SECRETS.includes(field) ? "set" : show(value);
      throw invalidField(param, `${param} is ${shown}: ${rule.reason}; ${rule.remedy}`);
    }
    case "unused":
      if (isLibraryDefault(group, field, value) || rule.quiet.some((quiet) => sameJson(quiet, value))) return;
      if (!rule.isExplained) draft.withoutEffect.push(param);
      else draft.warnings.push(`${param} (${show(value)}) has no effect: ${rule.why}.`);
  }
}

/** As transformers has it, but there is no output folder whose newest checkpoint `true` could mean. */
function resumeFromOf(param: string, value: unknown): string | null {
  if (value === false || value === "") return null;
  if (typeof value === "string") return value;
  throw invalidField(
    param,
    `${param} is ${
      show(value)
    }; the id of a job ("ftjob-…"), of a checkpoint ("ftckpt-…") or of a model ("ft:…") is ` +
      "needed. A job that is interrupted goes on by itself",
  );
}

/** Drops null fields inside a field that is an object of known fields. */
function withoutAbsent(param: string, value: unknown): unknown {
  const inner = Object.hasOwn(INNER_FIELDS, param) ? INNER_FIELDS[param] : undefined;
  if (!isObject(value) || inner === undefined) return value;
  const isAbsentField = ([name, field]: [string, unknown]) => isAbsent(field) && Object.hasOwn(inner, name);
  return Object.fromEntries(Object.entries(value).filter((entry) => !isAbsentField(entry)));
}
