/** The tokenizer of a job's base model, as its rows need it. */
import { createTokenBound, type TokenBound } from "../../../shared/data/tokenizer/token_bound.ts";
import { boundTo, loadTokenizer, type Tokenizer } from "../../../shared/data/tokenizer/tokenizer.ts";
import { readModelJson, readTransformerSpec } from "../../base_models/model_check.ts";

export interface JobTokenizer {
  /** Refuses tokens that the model has no row for. */
  readonly tokenizer: Tokenizer;
  /** Of the tokenizer. */
  readonly bound: TokenBound;
}

/** Throws a `LoraFleetError` with code `invalid_model` that names the file at fault. */
export async function loadJobTokenizer(modelFolder: string): Promise<JobTokenizer> {
  const { vocabSize } = await readTransformerSpec(modelFolder);
  const tokenizer = boundTo(await loadTokenizer(modelFolder), vocabSize);
  const json = await readModelJson(modelFolder, "tokenizer.json");
  // Tokens that other files add may be longer than all in tokenizer.json.
  const whole = typeof json === "object" ? { ...json, added_tokens: tokenizer.addedTokens } : json;
  return { tokenizer, bound: createTokenBound(whole) };
}
