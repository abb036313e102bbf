/**
 * What follows a job that has succeeded: `exports`, and transformers' `push_to_hub` with its fields. None of it changes what is
 * trained, so it belongs to the job's record and not to its specification.
 */
import { z } from "zod";
import { EXPORT_KINDS } from "../../shared/job/export_kinds.ts";
import type { Draft } from "./draft.ts";
import { invalidField, isAbsent, isObject, show } from "./errors.ts";

const MAX_EXPORTS = 20;

export const afterwardsSchema = z.strictObject({
  /** Bodies of requests for exports, without a step: it is the result's. */
  exports: z.array(z.record(z.string(), z.unknown())),
  push: z.strictObject({
    kind: z.enum(EXPORT_KINDS),
    /** Null: made from the job's suffix or its base model. */
    hub_model_id: z.string().nullable(),
    hub_private_repo: z.boolean(),
    hub_revision: z.string(),
  }).nullable(),
  /** Whether the finished job's exports are in the queue: they are records of their own then. */
  isQueued: z.boolean(),
});
export type Afterwards = z.output<typeof afterwardsSchema>;

/** Null if nothing follows. Throws `invalid_request`. */
export function parseAfterwards(draft: Draft, exports: unknown): Afterwards | null {
  const push = pushOf(draft);
  const asked = exportsOf(exports);
  return push === null && asked.length === 0 ? null : { exports: asked, push, isQueued: false };
}

function exportsOf(value: unknown): Record<string, unknown>[] {
  if (isAbsent(value)) return [];
  if (!Array.isArray(value) || value.length > MAX_EXPORTS) {
    const need = `a list of at most ${MAX_EXPORTS} exports is needed, such as [{"kind": "merged"}]`;
    throw invalidField("exports", `exports is ${show(value)}; ${need}`);
  }
  return value.map((entry, index) => {
    const at = `exports[${index}]`;
    const body = typeof entry === "string" ? { kind: entry } : entry;
    if (!isObject(body)) throw invalidField(at, `${at} is ${show(entry)}; an object with a kind is needed`);
    if (isAbsent(body["step"])) return body;
    const message = `${at}.step is ${show(body["step"])}, but the job's result is exported; leave it out`;
    throw invalidField(`${at}.step`, message);
  });
}

function pushOf(draft: Draft): Afterwards["push"] {
  const field = (name: string): unknown => draft.afterwards.get(name);
  const isPushed = booleanOf("push_to_hub", field("push_to_hub"), false);
  // A whole TrainingArguments has these fields in any case.
  if (!isPushed) return null;
  checkStrategy(draft, field("hub_strategy"));
  const kind = field("hub_kind") ?? "adapter";
  const known = EXPORT_KINDS.find((name) => name === kind);
  if (known === undefined) {
    throw refused("hub_kind", kind, `one of ${EXPORT_KINDS.map(show).join(", ")} is needed`);
  }
  return {
    kind: known,
    hub_model_id: repositoryOf(field),
    hub_private_repo: booleanOf("hub_private_repo", field("hub_private_repo"), true),
    hub_revision: textOf("hub_revision", field("hub_revision")) ?? "main",
  };
}

function repositoryOf(field: (name: string) => unknown): string | null {
  const full = textOf("hub_model_id", field("hub_model_id"));
  if (full !== null) return full;
  const name = textOf("push_to_hub_model_id", field("push_to_hub_model_id"));
  const organization = textOf("push_to_hub_organization", field("push_to_hub_organization"));
  if (organization === null) return name;
  if (name !== null) return `${organization}/${name}`;
  throw refused("push_to_hub_organization", organization, 'set hub_model_id to "org/name" instead');
}

function checkStrategy({ warnings }: Draft, strategy: unknown): void {
  if (isAbsent(strategy) || strategy === "end") return;
  if (strategy !== "every_save") {
    throw refused("hub_strategy", strategy, 'one push follows the end of a job; "end" is needed');
  }
  warnings.push(
    'training.hub_strategy ("every_save"): pushed once, when the job has succeeded, as "end" does.',
  );
}

function booleanOf(name: string, value: unknown, otherwise: boolean): boolean {
  if (isAbsent(value)) return otherwise;
  if (typeof value === "boolean") return value;
  throw refused(name, value, "true or false is needed");
}

function textOf(name: string, value: unknown): string | null {
  if (isAbsent(value) || value === "") return null;
  if (typeof value === "string") return value;
  throw refused(name, value, "a text is needed");
}

function refused(name: string, value: unknown, need: string) {
  return invalidField(`training.${name}`, `training.${name} is ${show(value)}; ${need}`);
}
