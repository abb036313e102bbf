/** Which safetensors file holds which tensor of a base model: one file, or several behind an index. */
import { z } from "zod";
import { LoraFleetError, messageOf, quote } from "../../shared/errors.ts";
import { openSafetensors, type SafetensorsFile } from "./safetensors.ts";

export interface Shards {
  /** By tensor name. */
  readonly files: ReadonlyMap<string, SafetensorsFile>;
  /** The file to name where a tensor is missing. */
  readonly describe: string;
}

const SINGLE = "model.safetensors";
const INDEX = "model.safetensors.index.json";

/** Shard names are plain: an index from somewhere else must not reach outside its folder. */
const indexSchema = z.looseObject({
  weight_map: z.record(z.string(), z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._-]*$/)),
});

/**
 * Opens all files of a base model; `model.safetensors` wins over an index, as in transformers.
 * Of the index the names of the files count alone, as in transformers: which tensors a file holds is what its own header says.
 * @throws LoraFleetError `model_not_found` without either, `invalid_model` for a damaged index or file and a shard that is
 * missing
 */
export async function readShards(folder: string): Promise<Shards> {
  if (await exists(`${folder}/${SINGLE}`)) {
    const file = openSafetensors(`${folder}/${SINGLE}`);
    return {
      files: new Map([...file.tensors.keys()].map((name) => [name, file])),
      describe: quote(file.path),
    };
  }
  const indexPath = `${folder}/${INDEX}`;
  if (!await exists(indexPath)) {
    throw new LoraFleetError(
      "model_not_found",
      `Opening the base model in ${quote(folder)} failed: it has neither ${SINGLE} nor ${INDEX}. ` +
        `Weights in another format have to be converted to safetensors first.`,
      { param: folder },
    );
  }
  const shards = shardNamesOf(await readIndex(indexPath)).map((name) =>
    openShard(`${folder}/${name}`, indexPath)
  );
  const files = new Map(shards.flatMap((shard) => [...shard.tensors.keys()].map((name) => [name, shard])));
  return { files, describe: `the files that ${quote(indexPath)} names` };
}

/** Sorted, so that of a tensor that two shards hold everybody takes the same one. */
function shardNamesOf(weightMap: Readonly<Record<string, string>>): string[] {
  return [...new Set(Object.values(weightMap))].sort();
}

function openShard(path: string, indexPath: string): SafetensorsFile {
  try {
    return openSafetensors(path);
  } catch (cause) {
    if (!(cause instanceof LoraFleetError) || cause.code !== "model_not_found") throw cause;
    throw new LoraFleetError(
      "invalid_model",
      `Reading ${quote(indexPath)} failed: its shard ${quote(path)} is missing.`,
      { param: path, cause },
    );
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
  throw new LoraFleetError("invalid_model", `Reading ${quote(path)} failed: ${reason}.`, { param: path });
}

async function exists(path: string): Promise<boolean> {
  try {
    return (await Deno.stat(path)).isFile;
  } catch (cause) {
    if (cause instanceof Deno.errors.NotFound) return false;
    throw new LoraFleetError("storage", `Reading ${quote(path)} failed: ${messageOf(cause)}.`, {
      param: path,
      cause,
    });
  }
}
