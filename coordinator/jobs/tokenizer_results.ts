/**
 * The tokenizer's files among a job's results, as PEFT and TRL save them beside an adapter: with them a folder of all results is
 * all that `AutoTokenizer` and a server of adapters need.
 */
import type { FileStore } from "./file_store.ts";
import type { PlannedJob } from "../planning/planned_job.ts";

const OTHER_NAMES = ["special_tokens_map.json", "added_tokens.json", "vocab.json", "merges.txt"];

/** Of a base model's files, by their names, those that its tokenizer is made of. */
function isTokenizerFile(name: string): boolean {
  return /^(tokenizer|chat_template)[^/]*$/.test(name) || OTHER_NAMES.includes(name);
}

/** Copies them, since the base model may be gone when they are downloaded; the ids of the copies. Throws `storage`. */
export async function addTokenizerFiles(
  files: Pick<FileStore, "addResultCopy">,
  { model, modelFolder }: Pick<PlannedJob, "model" | "modelFolder">,
): Promise<string[]> {
  const ids: string[] = [];
  for (const { name } of model.files) {
    if (isTokenizerFile(name)) ids.push((await files.addResultCopy(name, `${modelFolder}/${name}`)).id);
  }
  return ids;
}
