/**
 * The tokenizer's files among a job's results. PEFT and TRL save them beside an adapter, and `AutoTokenizer` and adapter
 * servers expect them there.
 */
import type { PlannedJob } from "../../planning/planned_job.ts";

const OTHER_NAMES = ["special_tokens_map.json", "added_tokens.json", "vocab.json", "merges.txt"];

/** By its name in the base model's folder. */
export function isTokenizerFile(name: string): boolean {
  return /^(tokenizer|chat_template)[^/]*$/.test(name) || OTHER_NAMES.includes(name);
}

/** Copies them, since the base model may be gone when they are downloaded. Returns the ids of the copies. Throws `storage`. */
export async function addTokenizerFiles(
  addCopy: (name: string, path: string) => Promise<{ readonly id: string }>,
  { model, modelFolder }: Pick<PlannedJob, "model" | "modelFolder">,
): Promise<string[]> {
  const ids: string[] = [];
  for (const { name } of model.files) {
    if (isTokenizerFile(name)) ids.push((await addCopy(name, `${modelFolder}/${name}`)).id);
  }
  return ids;
}
