/** The files that make a base model in a folder of Hugging Face layout. */
import { createHash } from "node:crypto";
import { z } from "zod";
import { LoraFleetError, quote } from "../../shared/errors.ts";
import type { ModelManifest } from "../../shared/model/model_manifest.ts";

const PLAIN_NAME = /^[A-Za-z0-9][A-Za-z0-9._-]*$/;
const SINGLE_NAME = "model.safetensors";
const INDEX_NAME = "model.safetensors.index.json";
const SMALL_FILES = new Set([
  "config.json",
  "generation_config.json",
  "chat_template.jinja",
  "chat_template.json",
  "special_tokens_map.json",
  "added_tokens.json",
  "vocab.json",
  "merges.txt",
]);

const indexSchema = z.object({ weight_map: z.record(z.string(), z.string()) });

/** The files that transformers reads besides the weights. */
export function isSmallFile(name: string): boolean {
  return PLAIN_NAME.test(name) &&
    (SMALL_FILES.has(name) || /^tokenizer[^/]*$/.test(name) || name === INDEX_NAME);
}

/**
 * The files that training needs, sorted. Weights are `model.safetensors` or else the files that the index names, as in
 * transformers and the workers. `readIndex` returns the index's text and is called only if there is one.
 *
 * Throws a `LoraFleetError` with code `invalid_model` if the config or the weights are missing.
 */
export async function selectModelFiles(
  names: readonly string[],
  readIndex: () => Promise<string>,
): Promise<readonly string[]> {
  if (!names.includes("config.json")) throw new LoraFleetError("invalid_model", `"config.json" is missing`);
  const weights = await selectWeights(names, readIndex);
  return [...names.filter(isSmallFile), ...weights].sort();
}

async function selectWeights(
  names: readonly string[],
  readIndex: () => Promise<string>,
): Promise<readonly string[]> {
  if (names.includes(SINGLE_NAME)) return [SINGLE_NAME];
  if (!names.includes(INDEX_NAME)) {
    throw new LoraFleetError(
      "invalid_model",
      `there are no weights: ${quote(SINGLE_NAME)}, or ${
        quote(INDEX_NAME)
      } and the files that it names, are needed`,
    );
  }
  const parsed = indexSchema.safeParse(parseJson(await readIndex()));
  if (!parsed.success) {
    throw new LoraFleetError("invalid_model", `${quote(INDEX_NAME)} has no weight_map from tensors to files`);
  }
  const wanted = [...new Set(Object.values(parsed.data.weight_map))];
  for (const name of wanted) {
    if (!PLAIN_NAME.test(name) || !names.includes(name)) {
      throw new LoraFleetError(
        "invalid_model",
        `${quote(INDEX_NAME)} names ${quote(name)}, which is missing`,
      );
    }
  }
  return wanted;
}

/** Null for text that is no JSON. */
function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

/** The manifest's hash: SHA-256 over the sorted lines `<sha256>  <name>\n`. */
export function manifestOf(files: ModelManifest["files"]): ModelManifest {
  const lines = files.map(({ name, sha256 }) => `${sha256}  ${name}\n`).sort();
  return { hash: createHash("sha256").update(lines.join("")).digest("hex"), files };
}
