/** Maps a base model's tensors to its safetensors files: one file, or the shards of an index. */
import { z } from "zod";
import { LoraFleetError, messageOf, quote } from "../errors.ts";
import { invalidFile } from "../model/safetensors_header.ts";
import { readFailure } from "./read_failure.ts";
import { openSafetensors, type SafetensorsFile } from "./safetensors.ts";

const SINGLE = "model.safetensors";
const INDEX = "model.safetensors.index.json";

/** Shard names are plain, so that a hostile index cannot reach outside its folder. */
const indexSchema = z.looseObject({
  weight_map: z.record(z.string(), z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._-]*$/)),
});

/**
 * Opens all files of a base model. As in transformers, `model.safetensors` wins over an index, and of an index only the
 * file names count: each file's own header lists its tensors.
 * @returns the files by tensor name; `describe` names them in errors
 * @throws LoraFleetError `model_not_found` without either, `invalid_model` for a damaged index or file or a missing shard
 */
export async function readShards(
  folder: string,
): Promise<{ readonly files: ReadonlyMap<string, SafetensorsFile>; readonly describe: string }> {
  if (await exists(`${folder}/${SINGLE}`)) {
    const file = openSafetensors(`${folder}/${SINGLE}`);
    const files = new Map([...file.tensors.keys()].map((name) => [name, file]));
    return { files, describe: quote(file.path) };
  }
  const indexPath = `${folder}/${INDEX}`;
  if (!await exists(indexPath)) {
    throw new LoraFleetError(
      "model_not_found",
      `Opening the base model in ${quote(folder)} failed: it has neither ${SINGLE} nor ${INDEX}. ` +
        `Convert weights in other formats to safetensors first.`,
      { param: folder },
    );
  }
  // Sorted, so that every worker takes a tensor that two shards hold from the same one.
  const names = [...new Set(Object.values(await readIndex(indexPath)))].sort();
  const shards = names.map((name) => openShard(`${folder}/${name}`, indexPath));
  const files = new Map(shards.flatMap((shard) => [...shard.tensors.keys()].map((name) => [name, shard])));
  return { files, describe: `the files that ${quote(indexPath)} names` };
}

function openShard(path: string, indexPath: string): SafetensorsFile {
  try {
    return openSafetensors(path);
  } catch (cause) {
    if (!(cause instanceof LoraFleetError) || cause.code !== "model_not_found") throw cause;
    throw invalidFile(indexPath, `its shard ${quote(path)} is missing`, { param: path, cause });
  }
}

async function readIndex(path: string): Promise<Record<string, string>> {
  let reason: string;
  try {
    const parsed = indexSchema.safeParse(JSON.parse(await Deno.readTextFile(path)));
    if (parsed.success) return parsed.data.weight_map;
    const issue = parsed.error.issues[0]!;
    reason = `${issue.path.join(".") || "the file"}: ${issue.message}`;
  } catch (cause) {
    reason = messageOf(cause);
  }
  throw invalidFile(path, reason);
}

async function exists(path: string): Promise<boolean> {
  try {
    return (await Deno.stat(path)).isFile;
  } catch (cause) {
    if (cause instanceof Deno.errors.NotFound) return false;
    throw readFailure(path, cause);
  }
}
