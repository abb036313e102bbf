/** A merged model's config.json and generation_config.json, as transformers writes them. */
import { LoraFleetError, messageOf } from "../../../shared/errors.ts";
import type { TransformerSpec } from "../../../shared/model/transformer_spec.ts";
import { dumps } from "../../../shared/python/json/dumps.ts";
import { parseJson } from "../../../shared/python/json/parse_json.ts";
import type { PyValue, Value } from "../../../shared/python/values/value.ts";
import type { MergedDtype } from "../../../shared/checkpoint/merge/round.ts";

type Fields = Map<string, PyValue>;

function parseFields(text: string, name: string): Fields {
  try {
    const parsed = parseJson(text);
    if (parsed instanceof Map) return parsed;
  } catch (cause) {
    throw new LoraFleetError("invalid_model", `cannot read ${name}: ${messageOf(cause)}`, { cause });
  }
  throw new LoraFleetError("invalid_model", `cannot read ${name}: it is no JSON object`);
}

/** Sorted keys, two spaces and a line break at the end. */
const textOf = (fields: Fields) => `${dumps(fields as Value, { indent: 2, sortKeys: true })}\n`;

/**
 * The base model's config.json with the merged type, also in its parts (`text_config`), without the quantisation. Numbers keep their spelling: 1.0 stays a float.
 * @param text of the base model
 */
export function mergedConfig(text: string, dtype: MergedDtype, spec: TransformerSpec): string {
  const fields = parseFields(text, "config.json");
  const name = fields.has("dtype") ? "dtype" : "torch_dtype";
  setDtype(fields, name, dtype);
  for (const part of fields.values()) {
    if (part instanceof Map && part.has("model_type")) setDtype(part, name, dtype);
  }
  fields.delete("quantization_config");
  fields.delete("_name_or_path");
  if (fields.get("tie_word_embeddings") === true && !spec.tieWordEmbeddings) {
    fields.set("tie_word_embeddings", false);
  }
  if (!Array.isArray(fields.get("architectures"))) fields.set("architectures", [spec.architecture]);
  return textOf(fields);
}

/** transformers 5 calls it `dtype` and reads both names; earlier versions know only `torch_dtype`. */
function setDtype(fields: Fields, name: "dtype" | "torch_dtype", dtype: MergedDtype): void {
  for (const known of ["dtype", "torch_dtype"]) fields.delete(known);
  fields.set(name, dtype);
}

/** What transformers derives from a config.json without a generation_config.json beside it. */
export function derivedGenerationConfig(configText: string): string {
  const config = parseFields(configText, "config.json");
  // A model that sees images has these in the part that writes.
  const inner = config.get("text_config");
  const text = inner instanceof Map ? inner : new Map<string, PyValue>();
  const fields: Fields = new Map<string, PyValue>([["_from_model_config", true]]);
  for (const name of ["bos_token_id", "eos_token_id", "pad_token_id", "transformers_version", "use_cache"]) {
    const value = config.get(name) ?? text.get(name) ?? null;
    if (value !== null) fields.set(name, value);
  }
  return textOf(fields);
}
