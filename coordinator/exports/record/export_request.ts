/** What a client may ask an export for, and what is understood. */
import { z } from "zod";
import { LoraFleetError, quote } from "../../../shared/errors.ts";
import { explainInput } from "../../job_request/errors.ts";
import { GGUF_TYPES } from "../../../shared/gguf/tensor_types.ts";
import { EXPORT_KINDS, type ExportKind } from "../../../shared/job/export_kinds.ts";
import { MERGE_BASES } from "../../../shared/checkpoint/merge/merged_model.ts";
import { MERGED_DTYPES } from "../../../shared/checkpoint/merge/round.ts";

/** The fields of each kind beside `kind` and `step`, with their defaults; null: decided by the base model. */
const FIELDS: Readonly<Record<ExportKind, Partial<Omit<ExportRequest, "kind" | "step">>>> = {
  merged: { base: "nf4", dtype: null },
  gguf: { base: "nf4", quantization: "F16" },
  adapter_gguf: { quantization: "F32" },
  adapter: {},
};

const bodySchema = z.strictObject({
  kind: z.enum(EXPORT_KINDS),
  base: z.enum(MERGE_BASES).optional(),
  dtype: z.enum(MERGED_DTYPES).optional(),
  quantization: z.enum(GGUF_TYPES).optional(),
  step: z.int().min(1).optional(),
});
export const exportBodySchema = bodySchema;

/** A field that the kind does not have is null. */
export const exportRequestSchema = z.strictObject({
  kind: z.enum(EXPORT_KINDS),
  base: z.enum(MERGE_BASES).nullable(),
  /** Of a merged model; null: the base model's own. */
  dtype: z.enum(MERGED_DTYPES).nullable(),
  quantization: z.enum(GGUF_TYPES).nullable(),
  /** The checkpoint's. */
  step: z.int(),
});
export type ExportRequest = z.output<typeof exportRequestSchema>;

/**
 * @param newestStep of the job's checkpoints, which is taken if the body names none
 * @throws LoraFleetError `invalid_request` naming the field
 */
export function parseExportRequest(body: unknown, newestStep: number): ExportRequest {
  const parsed = bodySchema.safeParse(body);
  if (!parsed.success) {
    throw explainInput(parsed.error, body, "the export is refused: ", Object.keys(bodySchema.shape));
  }
  const { kind, step = newestStep, ...given } = parsed.data;
  const fields = FIELDS[kind];
  for (const [field, value] of Object.entries(given)) {
    if (value === undefined || field in fields) continue;
    const kinds = EXPORT_KINDS.filter((other) => field in FIELDS[other]).map(quote).join(" and ");
    const message = `${field} is ${quote(value)}, but kind is ${quote(kind)}: ${field} belongs to ${kinds}`;
    throw new LoraFleetError("invalid_request", message, { param: field });
  }
  if (kind === "adapter_gguf" && given.quantization === "Q8_0") {
    const message = `quantization is "Q8_0", but llama.cpp reads adapters in "F32" or "F16" alone`;
    throw new LoraFleetError("invalid_request", message, { param: "quantization" });
  }
  return { base: null, dtype: null, quantization: null, ...fields, ...withoutUndefined(given), kind, step };
}

function withoutUndefined<T extends object>(fields: T): { [K in keyof T]: Exclude<T[K], undefined> } {
  const entries = Object.entries(fields).filter(([, value]) => value !== undefined);
  return Object.fromEntries(entries) as { [K in keyof T]: Exclude<T[K], undefined> };
}

export function isSameRequest(a: ExportRequest, b: ExportRequest): boolean {
  return a.kind === b.kind && a.base === b.base && a.dtype === b.dtype && a.step === b.step &&
    a.quantization === b.quantization;
}

/** Whether workers measure it: merged weights, not what GGUF rounds them to. */
export function isMeasured({ kind }: ExportRequest): boolean {
  return kind === "merged";
}
