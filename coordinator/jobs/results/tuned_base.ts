/** A job whose `model` is an earlier job's result trains on from that adapter, on that job's base model. */
import { LoraFleetError, quote } from "../../../shared/errors.ts";
import type { ParsedJobRequest } from "../../job_request/parse.ts";
import type { JobSpec } from "../../../shared/job/job_spec_schema.ts";
import { isPissa } from "../../../shared/job/pissa.ts";
import { canonicalJson } from "../../../shared/job/job_spec_hash.ts";
import type { JobRecord } from "../record/job.ts";
import type { JobStore } from "../stores/job_store.ts";
import { ADAPTER_FILENAME, tunedModel } from "./tuned_models.ts";

/** Fields that the adapter's tensors fix. */
const FIXED = [
  ...["r", "lora_alpha", "use_rslora", "target_modules", "rank_pattern", "alpha_pattern"] as const,
  ...["exclude_modules", "layers_to_transform", "layers_pattern"] as const,
] as const;

/**
 * Replaces `ft:…` by its base model, and fields that the client left out by the adapter's LoRA fields and quantisation. Throws
 * a `LoraFleetError`: `model_not_found`, or `invalid_request` for a field that contradicts the adapter.
 */
export function onTunedBase(store: JobStore, request: ParsedJobRequest): ParsedJobRequest {
  const { spec, given } = request;
  if (!spec.model.startsWith("ft:")) return request;
  const { job, checkpoint } = tunedModel(store, spec.model);
  const sha256 = checkpoint.files.find(({ name }) => name === ADAPTER_FILENAME)?.sha256;
  if (sha256 === undefined) {
    const message = `model ${quote(spec.model)} has no ${ADAPTER_FILENAME}`;
    throw new LoraFleetError("model_not_found", message, { param: "model" });
  }
  checkFixed(request, job, spec.model);
  const { lora, quantization } = job.spec;
  return {
    ...request,
    spec: {
      ...spec,
      model: job.spec.model,
      lora: { ...lora, ...givenOf("lora", spec.lora, given), ...fixedOf(lora) },
      quantization: { ...quantization, ...givenOf("quantization", spec.quantization, given) },
      initial_adapter: { model: spec.model, sha256 },
    },
  };
}

/** Throws `invalid_request` for a field of the request that contradicts the adapter called `name`. */
export function checkFixed(
  { spec, given }: ParsedJobRequest,
  { spec: { lora, model } }: JobRecord,
  name: string,
): void {
  checkStart(spec.lora, lora, given, name);
  for (const field of FIXED) {
    const isSame =
      canonicalJson([sorted(spec.lora[field]) ?? null]) === canonicalJson([sorted(lora[field]) ?? null]);
    if (isSame || !given.has(`lora.${field}`)) continue;
    const message = `lora.${field} is ${quote(spec.lora[field])}, but the adapter ${quote(name)} has ` +
      `${quote(lora[field])}: leave it out, or train on from the base model ${quote(model)}`;
    throw new LoraFleetError("invalid_request", message, { param: `lora.${field}` });
  }
}

/** PiSSA's start decides the base that an adapter belongs to; any other start is over once there is an adapter. */
function checkStart(
  { init_lora_weights: wanted }: JobSpec["lora"],
  earlier: JobSpec["lora"],
  given: ReadonlySet<string>,
  name: string,
): void {
  const isWanted = given.has("lora.init_lora_weights") && wanted !== earlier.init_lora_weights;
  if (!isWanted || !(isPissa(earlier) || isPissa({ init_lora_weights: wanted }))) return;
  const message =
    `lora.init_lora_weights is ${quote(wanted)}, but the adapter ${
      quote(name)
    } was trained on a base made by ` +
    `${quote(earlier.init_lora_weights ?? true)}: leave it out, or train on from the base model`;
  throw new LoraFleetError("invalid_request", message, { param: "lora.init_lora_weights" });
}

/** The order of target modules has no meaning. */
function sorted(value: unknown): unknown {
  return Array.isArray(value) ? value.toSorted() : value;
}

function fixedOf(lora: JobSpec["lora"]): Partial<JobSpec["lora"]> {
  return Object.fromEntries(
    FIXED.filter((field) => lora[field] !== undefined).map((field) => [field, lora[field]]),
  );
}

/** The fields of a group that the client set. */
export function givenOf<G extends object>(group: string, fields: G, given: ReadonlySet<string>): Partial<G> {
  const set = Object.entries(fields).filter(([field]) => given.has(`${group}.${field}`));
  return Object.fromEntries(set) as Partial<G>;
}
