/** Whether a base model can become GGUF, by config.json and the rules of its tokenizer: known before anything is trained. */
import { LoraFleetError, messageOf } from "../../errors.ts";
import type { ExportKind } from "../../job/export_kinds.ts";
import { parseTransformerSpec } from "../../model/parse_transformer_spec.ts";
import { ggufArchitecture } from "../architectures.ts";
import { readTokenizerHead } from "../tokenizer/tokenizer_head.ts";
import { assertKnownTokenizer } from "../tokenizer/tokenizer_metadata.ts";

/**
 * @param folder of the base model; its weights may be missing
 * @param needsTokenizer whether the tokenizer is to be in the file, which an adapter's has not
 * @returns a sentence; null if nothing is in the way
 */
export async function ggufObstacle(folder: string, needsTokenizer: boolean): Promise<string | null> {
  try {
    ggufArchitecture(parseTransformerSpec(JSON.parse(await Deno.readTextFile(`${folder}/config.json`))));
    if (needsTokenizer) assertKnownTokenizer(await readTokenizerHead(folder));
    return null;
  } catch (thrown) {
    // What is damaged or missing is in the way of the training itself, which says so.
    return thrown instanceof LoraFleetError && thrown.code === "invalid_request" ? messageOf(thrown) : null;
  }
}

/** The same for a form of a job's result. @returns a sentence; null if nothing is in the way */
export function exportObstacle(kind: ExportKind, folder: string): Promise<string | null> {
  return isGguf(kind) ? ggufObstacle(folder, kind === "gguf") : Promise.resolve(null);
}

/** Whether a form is a file for llama.cpp. */
export function isGguf(kind: ExportKind): kind is "gguf" | "adapter_gguf" {
  return kind === "gguf" || kind === "adapter_gguf";
}
