/** A job request while its fields are collected; clients may set a field in several places. */
import { invalidField, isAbsent, sameJson, show } from "./errors.ts";
import { VALUE_ALIASES } from "./fields.ts";

interface DraftField {
  readonly value: unknown;
  readonly param: string;
  /** The client's own value if it differs, such as a batch size that becomes a count of micro-batches. */
  readonly written?: unknown;
}

/** A request on its way to a spec: flat paths (`training.learning_rate`) with the client's spelling. */
export interface Draft {
  readonly fields: Map<string, DraftField>;
  readonly warnings: string[];
  /** Fields about trackers, which are not part of the spec (tracking.ts). */
  readonly tracking: Map<string, unknown>;
  /** Fields about the push that follows the job (afterwards.ts). */
  readonly afterwards: Map<string, unknown>;
  /** Paths of accepted fields without effect. */
  readonly withoutEffect: string[];
  /** `training.resume_from_checkpoint`. */
  resumeFrom: string | null;
}

/** Sets a field of the spec unless the value is null. Throws if an earlier value differs. */
export function put(draft: Draft, path: string, value: unknown, param: string, written = value): void {
  if (isAbsent(value)) return;
  const translated = typeof value === "string" ? VALUE_ALIASES[path]?.[value] ?? value : value;
  const earlier = draft.fields.get(path);
  if (earlier !== undefined && !sameJson(earlier.value, translated)) {
    const message = `${param} is ${show(value)}, but ${earlier.param} is already ${show(earlier.value)}; ` +
      "give one of them";
    throw invalidField(param, message);
  }
  if (earlier === undefined) draft.fields.set(path, { value: translated, param, written });
}
