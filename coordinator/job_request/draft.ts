/** A job request while its fields are collected from the several places where a client may have written them. */
import { invalidField, isAbsent, sameJson, show } from "./errors.ts";
import { VALUE_ALIASES } from "./fields.ts";

export interface DraftField {
  readonly value: unknown;
  readonly param: string;
  /** What the client wrote, where that is another value: a batch size that becomes a count of micro-batches. */
  readonly written?: unknown;
}

/** A request on its way to a spec: flat paths (`training.learning_rate`) and how the client spelled them. */
export interface Draft {
  readonly fields: Map<string, DraftField>;
  readonly warnings: string[];
  /** Paths of fields that were accepted and change nothing. */
  readonly withoutEffect: string[];
}

/** Sets a field of the spec; null is absence. Throws where it was given twice with different values. */
export function put(draft: Draft, path: string, value: unknown, param: string, written = value): void {
  if (isAbsent(value)) return;
  const translated = typeof value === "string" ? VALUE_ALIASES[path]?.[value] ?? value : value;
  const earlier = draft.fields.get(path);
  if (earlier !== undefined && !sameJson(earlier.value, translated)) {
    throw invalidField(
      param,
      `${param} is ${show(value)}, but ${earlier.param} already says ${
        show(earlier.value)
      }; give one of them`,
    );
  }
  if (earlier === undefined) draft.fields.set(path, { value: translated, param, written });
}
