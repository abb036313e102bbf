/**
 * The table of a base model's tensors, read by the coordinator's layout check, the weights loader, the memory plan, the adapter's
 * layout and the matching of `target_modules`.
 */
import type { TransformerSpec } from "./transformer_spec.ts";

export const HEAD_NAME = "lm_head.weight";
export const embeddingsName = ({ textModule }: Pick<TransformerSpec, "textModule">): string =>
  `${textModule}.embed_tokens.weight`;

const SEPARATE_ROLES = ["query", "key", "value", "output", "gate", "up", "down"] as const;
const FUSED_ROLES = ["queryKeyValue", "output", "gateUp", "down"] as const;
export type LinearRole = typeof SEPARATE_ROLES[number] | typeof FUSED_ROLES[number];
/** One for each linear layer of a transformer layer. */
export type ByLinearRole<T> = { readonly [R in LinearRole]?: T };
/** The norms of a transformer layer. */
type NormRole = "attentionNorm" | "mlpNorm" | OptionalNormRole;
/** Norms that some families have: of the query and key heads, and behind attention and MLP. */
type OptionalNormRole = "queryNorm" | "keyNorm" | "attentionPostNorm" | "mlpPostNorm";
export type ByNormRole<T> =
  & { readonly [R in Exclude<NormRole, OptionalNormRole>]: T }
  & { readonly [R in OptionalNormRole]?: T };

interface Place<Role> {
  /** Hugging Face's tensor name: `model.layers.0.self_attn.q_proj.weight`. */
  readonly name: string;
  readonly shape: readonly number[];
  readonly role: Role;
}

/** Norms and biases stay in f32; the tables, embeddings and output layer, are computed with in f32 (shared/memory/table_sizes.ts). */
export type ModelTensor =
  | Place<"embeddings" | "head"> & { readonly kind: "table"; readonly layer: null }
  | Place<"finalNorm"> & { readonly kind: "norm"; readonly layer: null }
  | Place<NormRole> & { readonly kind: "norm"; readonly layer: number }
  | Place<LinearRole> & { readonly kind: "bias"; readonly layer: number }
  /** Quantised, and a target of LoRA. Shape [outFeatures, inFeatures]. */
  | Place<LinearRole> & { readonly kind: "linear"; readonly layer: number };

/** A linear layer, which is quantised and may carry LoRA: weight [outFeatures, inFeatures]. */
export interface LinearModule {
  /** Hugging Face's module name: `model.layers.0.self_attn.q_proj`. */
  readonly name: string;
  readonly outFeatures: number;
  readonly inFeatures: number;
}

/** The modules that `target_modules` may match, in the model's order. */
export interface ModelModules {
  readonly linear: readonly LinearModule[];
  /** Names that PEFT matches as well, but that carry no adapter here: containers, embeddings, norms, output layer. */
  readonly other: readonly string[];
}

/** The linear layers of a transformer layer in the order of computation. */
export function linearRoles(
  { fusedProjections }: Pick<TransformerSpec, "fusedProjections">,
): readonly LinearRole[] {
  return fusedProjections ? FUSED_ROLES : SEPARATE_ROLES;
}

/** All tensors: tables, norms, then the linear layers, each with its bias. */
export function modelTensors(spec: TransformerSpec): ModelTensor[] {
  const { vocabSize, hiddenSize } = spec;
  const table = [vocabSize, hiddenSize];
  const layers = Array.from({ length: spec.layerCount }, (_, layer) => layer);
  return [
    { name: embeddingsName(spec), shape: table, role: "embeddings", kind: "table", layer: null },
    { name: HEAD_NAME, shape: table, role: "head", kind: "table", layer: null },
    {
      name: `${spec.textModule}.norm.weight`,
      shape: [hiddenSize],
      role: "finalNorm",
      kind: "norm",
      layer: null,
    },
    ...layers.flatMap((layer) => layerNorms(spec, layer)),
    ...layers.flatMap((layer) => layerLinears(spec, layer)),
  ];
}

function layerNorms(spec: TransformerSpec, layer: number): ModelTensor[] {
  const parts: [role: NormRole, module: string, size: number][] = [
    ["attentionNorm", "input_layernorm", spec.hiddenSize],
    ["mlpNorm", spec.postNorms ? "pre_feedforward_layernorm" : "post_attention_layernorm", spec.hiddenSize],
  ];
  if (spec.postNorms) {
    parts.push(["attentionPostNorm", "post_attention_layernorm", spec.hiddenSize]);
    parts.push(["mlpPostNorm", "post_feedforward_layernorm", spec.hiddenSize]);
  }
  if (spec.queryKeyNorm) {
    parts.push(["queryNorm", "self_attn.q_norm", spec.headDim]);
    parts.push(["keyNorm", "self_attn.k_norm", spec.headDim]);
  }
  return parts.map(([role, module, size]) => (
    { name: `${spec.textModule}.layers.${layer}.${module}.weight`, shape: [size], role, kind: "norm", layer }
  ));
}

function layerLinears(spec: TransformerSpec, layer: number): ModelTensor[] {
  const { hiddenSize: hidden, intermediateSize: inner, attentionBias, outputBias, mlpBias } = spec;
  const query = spec.headCount * spec.headDim;
  const keyValue = spec.kvHeadCount * spec.headDim;
  type Part = [module: string, outFeatures: number, inFeatures: number, hasBias: boolean];
  const parts: Record<LinearRole, Part> = {
    query: ["self_attn.q_proj", query, hidden, attentionBias],
    key: ["self_attn.k_proj", keyValue, hidden, attentionBias],
    value: ["self_attn.v_proj", keyValue, hidden, attentionBias],
    queryKeyValue: ["self_attn.qkv_proj", query + 2 * keyValue, hidden, attentionBias],
    output: ["self_attn.o_proj", hidden, query, outputBias],
    gate: ["mlp.gate_proj", inner, hidden, mlpBias],
    up: ["mlp.up_proj", inner, hidden, mlpBias],
    gateUp: ["mlp.gate_up_proj", 2 * inner, hidden, mlpBias],
    down: ["mlp.down_proj", hidden, inner, mlpBias],
  };
  return linearRoles(spec).flatMap((role): ModelTensor[] => {
    const [module, outFeatures, inFeatures, hasBias] = parts[role];
    const name = `${spec.textModule}.layers.${layer}.${module}`;
    const place = { role, layer };
    const shape = [outFeatures, inFeatures];
    const weight: ModelTensor = { name: `${name}.weight`, shape, kind: "linear", ...place };
    return hasBias
      ? [weight, { name: `${name}.bias`, shape: [outFeatures], kind: "bias", ...place }]
      : [weight];
  });
}

export function linearModules(spec: TransformerSpec): LinearModule[] {
  return modelTensors(spec).filter(({ kind }) => kind === "linear").map(({ name, shape }) => (
    { name: moduleOf(name), outFeatures: shape[0]!, inFeatures: shape[1]! }
  ));
}

/** The linear layers, and the other modules that transformers builds around them. */
export function modelModules(spec: TransformerSpec): ModelModules {
  const { textModule: text } = spec;
  const plain = modelTensors(spec).filter(({ kind }) => kind === "table" || kind === "norm");
  const inLayer = spec.fusedProjections
    ? ["mlp.activation_fn", "resid_attn_dropout", "resid_mlp_dropout"]
    : ["mlp.act_fn"];
  const containers = Array.from({ length: spec.layerCount }, (_, layer) => `${text}.layers.${layer}`).flatMap(
    (layer) => [layer, ...["self_attn", "mlp", ...inLayer].map((module) => `${layer}.${module}`)],
  );
  const outer = ["", ...new Set(["model", text]), `${text}.layers`, `${text}.rotary_emb`];
  return {
    linear: linearModules(spec),
    other: [...outer, ...plain.map(({ name }) => moduleOf(name)), ...containers],
  };
}

/** The module of a tensor: its name without `.weight` or `.bias`. */
export function moduleOf(tensorName: string): string {
  return tensorName.slice(0, tensorName.lastIndexOf("."));
}
