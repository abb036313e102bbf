/**
 * llama.cpp's name for how a byte-level BPE cuts text into words. convert_hf_to_gguf.py finds it by the tokens of a long text;
 * here it is found by the rule that tokenizer.json has.
 */
import { z } from "zod";
import { LoraFleetError, quote } from "../../errors.ts";
import type { TokenizerJson } from "../../data/tokenizer/files/tokenizer_files.ts";

const stepSchema = z.looseObject({
  type: z.string(),
  pretokenizers: z.array(z.unknown()).optional(),
  pattern: z.looseObject({ Regex: z.string().optional() }).optional(),
  individual_digits: z.boolean().optional(),
  use_regex: z.boolean().optional(),
  add_prefix_space: z.boolean().optional(),
});
type Step = z.output<typeof stepSchema>;

const QWEN2 = String
  .raw`(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`;
const TEKKEN = String
  .raw`[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+`;
const GPT4O = String
  .raw`[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+`;

/** By the expression that splits the text. */
const BY_REGEX: Readonly<Record<string, string>> = {
  [QWEN2]: "qwen2",
  [QWEN2.replace(String.raw`|\p{N}|`, String.raw`|\p{N}{1,3}|`)]: "llama-bpe",
  [TEKKEN]: "tekken",
  // Phi-4-mini's. SmolLM3 cuts as Llama 3 does.
  [GPT4O]: "gpt-4o",
};

/** @throws LoraFleetError `invalid_request` if llama.cpp has no such rule */
export function preTokenizerName({ pre_tokenizer: root, model }: TokenizerJson): string {
  const steps = flatten(root);
  const described = steps.map(describe).join(" ");
  if (described === "ByteLevel+regex") return "gpt-2";
  if (described === "Digits ByteLevel+regex") return "smollm";
  const pattern = steps[0]?.pattern?.Regex ?? "";
  const name = described === "Split ByteLevel" ? BY_REGEX[pattern] : undefined;
  // Under the name of Llama 3 a word that is a token stays whole, whatever its merges say; Phi-4 cuts alike without that.
  if (name === "llama-bpe" && model["ignore_merges"] !== true) return "dbrx";
  if (name !== undefined) return name;
  const message = `GGUF is not possible for this model: llama.cpp has no name for its pre-tokenizer ${
    quote(root)
  }`;
  throw new LoraFleetError("invalid_request", message, { param: "kind" });
}

function flatten(step: unknown): Step[] {
  const parsed = stepSchema.safeParse(step);
  if (!parsed.success) return [];
  return parsed.data.type === "Sequence" ? (parsed.data.pretokenizers ?? []).flatMap(flatten) : [parsed.data];
}

function describe({ type, use_regex, individual_digits, add_prefix_space }: Step): string {
  if (type === "ByteLevel" && add_prefix_space === true) return "ByteLevel+space";
  if (type === "ByteLevel" && use_regex !== false) return "ByteLevel+regex";
  return type === "Digits" && individual_digits !== true ? "Digits+runs" : type;
}
