/** Reads the golden ladder: what transformers, bitsandbytes and PEFT computed for small models (README.md). */
import { z } from "zod";
import { loraSchema, type LoraSpec } from "../../shared/job/job_spec_schema.ts";
import type { MicroBatch } from "../../shared/data/packing/micro_batch.ts";
import type { GradientLayout } from "../../shared/model/gradient_layout.ts";
import { openSafetensors, type SafetensorsFile } from "../../shared/checkpoint/safetensors.ts";
import { writeSafetensors } from "../../shared/checkpoint/safetensors_write.ts";

export const LADDER_CASES = [
  "gqa_tied",
  "llama3_sharded",
  "qwen2_rslora",
  "yarn_wide_rank",
  "qwen3_tied",
  "mistral_window",
  "qwen3_window",
  "llama_patterns",
  "longrope",
  "phi3_window",
  "phi3_longrope",
  "gemma2_caps",
  "gemma3_ropes",
  "llama_biased",
  "smollm3",
  "gemma3_vision",
] as const;
export type LadderCaseName = typeof LADDER_CASES[number];

/** LoRA tensors by PEFT's name, flattened row by row. */
export type AdapterTensors = ReadonlyMap<string, Float32Array>;

/** One micro-batch and its expected results with the initial adapter. */
export interface GoldenBatch {
  readonly batch: MicroBatch;
  /** [tokens, vocabulary]. */
  readonly logits: Float32Array;
  /** The embeddings and the residual stream after each layer [tokens, hidden]; the last is after the final norm. */
  readonly hidden: readonly Float32Array[];
  /** Sum of the cross entropy over the counted targets. */
  readonly lossSum: number;
  readonly labelCount: number;
  /** Gradients of `lossSum`. */
  readonly gradients: AdapterTensors;
  /** The logits after the ten steps. */
  readonly finalLogits: Float32Array;
}

/** Error of the libraries' own f32 results against the same computation in f64. */
export interface F32Error {
  /** Largest difference of an element. */
  readonly maxAbs: number;
  /** Largest magnitude among the elements. */
  readonly scale: number;
}

export interface LadderCase {
  readonly name: LadderCaseName;
  /** config.json and safetensors, as transformers saved them. */
  readonly modelFolder: string;
  /** The final adapter, as PEFT saved it. */
  readonly adapterFolder: string;
  readonly doubleQuantization: boolean;
  readonly lora: LoraSpec;
  readonly initialAdapter: AdapterTensors;
  readonly batches: readonly GoldenBatch[];
  readonly training: {
    readonly beta1: number;
    readonly beta2: number;
    readonly epsilon: number;
    readonly weightDecay: number;
    readonly maxGradientNorm: number;
    /** One per step; each step takes all batches. */
    readonly learningRates: readonly number[];
    /** Mean loss of each step, before its update. */
    readonly losses: readonly number[];
    /** Norm of the mean gradient of each step, before clipping. */
    readonly gradientNorms: readonly number[];
  };
  readonly finalAdapter: AdapterTensors;
  /**
   * By result: `logits0`, `loss0`, `gradient0` (the tensor with the largest relative error) of batch 0, the same of
   * batch 1, `losses`, `gradient_norms` and `final` of the ten steps. A tolerance is a multiple of these.
   */
  readonly f32Error: ReadonlyMap<string, F32Error>;
}

const caseSchema = z.strictObject({
  double_quantization: z.boolean(),
  lora: loraSchema,
  training: z.object({
    beta1: z.number(),
    beta2: z.number(),
    epsilon: z.number(),
    weight_decay: z.number(),
    max_grad_norm: z.number(),
  }),
  batches: z.array(z.strictObject({ loss_sum: z.number(), target_count: z.int() })),
  learning_rates: z.array(z.number()),
  losses: z.array(z.number()),
  gradient_norms: z.array(z.number()),
  f32_error: z.record(z.string(), z.strictObject({ max_abs: z.number(), scale: z.number() })),
});

/** A path in this folder. */
export function goldenPath(name: string): string {
  return `${import.meta.dirname}/${name}`;
}

export function loadLadderCase(name: LadderCaseName): LadderCase {
  const folder = goldenPath(`ladder/${name}`);
  const facts = caseSchema.parse(JSON.parse(Deno.readTextFileSync(`${folder}/case.json`)));
  const file = openSafetensors(`${folder}/golden.safetensors`);
  const { training } = facts;
  return {
    name,
    modelFolder: `${folder}/model`,
    adapterFolder: `${folder}/adapter`,
    doubleQuantization: facts.double_quantization,
    lora: facts.lora,
    initialAdapter: tensorsUnder(file, "initial."),
    batches: facts.batches.map(({ loss_sum, target_count }, i) => ({
      ...readBatch(file, i),
      lossSum: loss_sum,
      labelCount: target_count,
    })),
    training: {
      beta1: training.beta1,
      beta2: training.beta2,
      epsilon: training.epsilon,
      weightDecay: training.weight_decay,
      maxGradientNorm: training.max_grad_norm,
      learningRates: facts.learning_rates,
      losses: facts.losses,
      gradientNorms: facts.gradient_norms,
    },
    finalAdapter: tensorsUnder(file, "final.base_model."),
    f32Error: new Map(
      Object.entries(facts.f32_error).map(([key, { max_abs, scale }]) => [key, { maxAbs: max_abs, scale }]),
    ),
  };
}

function readBatch(file: SafetensorsFile, index: number) {
  const prefix = `batch${index}.`;
  const integers = (key: string) => new Int32Array(file.read(prefix + key).buffer);
  const layers = [...file.tensors.keys()].filter((name) => name.startsWith(`${prefix}hidden`)).length;
  return {
    batch: {
      tokens: Uint32Array.from(integers("tokens")),
      labels: integers("targets"),
      positions: Uint32Array.from(integers("positions")),
      segmentStarts: Uint32Array.from(integers("segment_starts")),
    },
    logits: file.readFloat32(`${prefix}logits`),
    hidden: Array.from({ length: layers }, (_, layer) => file.readFloat32(`${prefix}hidden${layer}`)),
    gradients: tensorsUnder(file, `${prefix}gradient.`),
    finalLogits: file.readFloat32(`final.logits${index}`),
  };
}

/** The tensors under `prefix`, by PEFT's name, which begins with `base_model.`. */
function tensorsUnder(file: SafetensorsFile, prefix: string): AdapterTensors {
  const names = [...file.tensors.keys()].filter((name) => name.startsWith(prefix));
  return new Map(names.map((name) => [name.slice(name.indexOf("base_model.")), file.readFloat32(name)]));
}

/**
 * LoRA tensors in the engine's flat order, padding zero, as `importState` takes an adapter.
 * Throws if the layout and the tensors differ in names or sizes.
 */
export function flattenTensors(layout: GradientLayout, tensors: AdapterTensors): Float32Array {
  const flat = new Float32Array(layout.elementCount);
  for (const { name, shape, offset } of layout.tensors) {
    const values = tensors.get(name);
    if (values?.length !== shape[0] * shape[1]) {
      throw new Error(`${name}: ${values?.length} elements, [${shape}]`);
    }
    flat.set(values, offset);
  }
  if (layout.tensors.length !== tensors.size) {
    throw new Error(`${layout.tensors.length} ≠ ${tensors.size} tensors`);
  }
  return flat;
}

/** The inverse of `flattenTensors`; the tensors are views. */
export function unflattenTensors(layout: GradientLayout, flat: Float32Array): AdapterTensors {
  return new Map(
    layout.tensors.map((
      { name, shape, offset },
    ) => [name, flat.subarray(offset, offset + shape[0] * shape[1])]),
  );
}

/** Writes a micro-batch and its logits [tokens, vocabulary] for make/check_adapter.py. */
export function writeLogits(path: string, batch: MicroBatch, logits: Float32Array): Promise<void> {
  const count = batch.tokens.length;
  const integers = (name: string, values: Uint32Array) => ({
    name,
    dtype: "I32" as const,
    shape: [count],
    data: new Uint8Array(Int32Array.from(values).buffer),
  });
  return writeSafetensors(path, [
    integers("tokens", batch.tokens),
    integers("positions", batch.positions),
    integers("segment_starts", batch.segmentStarts),
    { name: "logits", dtype: "F32", shape: [count, logits.length / count], data: logits },
  ]);
}
