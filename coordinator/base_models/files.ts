/** Which files of a folder in Hugging Face layout make a base model, and their hashes. */
import { createHash } from "node:crypto";
import { z } from "zod";
import { LoraFleetError, messageOf, quote } from "../../shared/errors.ts";
import type { ModelManifest } from "../../shared/model/model_manifest.ts";
import { writeStreamedFile } from "../storage/streamed_file.ts";

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

/** What transformers reads beside the weights. */
export function isSmallFile(name: string): boolean {
  return PLAIN_NAME.test(name) &&
    (SMALL_FILES.has(name) || /^tokenizer[^/]*$/.test(name) || name === INDEX_NAME);
}

/**
 * The files that training needs, sorted: of the weights `model.safetensors`, else those that the index names, as
 * transformers and the workers do. `readIndex` gives the index's text and is asked only where there is one.
 *
 * Throws a `LoraFleetError` with code `invalid_model` where the config or the weights are missing.
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
    throw new LoraFleetError(
      "invalid_model",
      `${quote(INDEX_NAME)} has no weight_map from tensors to files`,
    );
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

/** The SHA-256 of files, computed once for each path, size and modification time. */
export interface HashCache {
  /** Throws a `LoraFleetError` with code `storage` where the file cannot be read, and what `signal` was aborted with. */
  hash(path: string, signal?: AbortSignal): Promise<{ size: number; sha256: string }>;
}

const cacheSchema = z.record(
  z.string(),
  z.object({ size: z.int(), modifiedMs: z.number(), sha256: z.string() }),
);

/** Keeps the hashes in a JSON file, so that a restart does not read tens of gigabytes again. */
export function createHashCache(cachePath: string): HashCache {
  let loaded: Promise<Map<string, z.output<typeof cacheSchema>[string]>> | null = null;
  const load = async () => {
    // A cache that cannot be read costs a second look at the models, nothing else.
    const text = await Deno.readTextFile(cachePath).catch(() => "{}");
    const parsed = cacheSchema.safeParse(parseJson(text));
    return new Map(Object.entries(parsed.success ? parsed.data : {}));
  };
  return {
    async hash(path, signal) {
      const entries = await (loaded ??= load());
      try {
        const { size, mtime } = await Deno.stat(path);
        const modifiedMs = mtime?.getTime() ?? 0;
        const known = entries.get(path);
        if (known !== undefined && known.size === size && known.modifiedMs === modifiedMs) {
          return { size, sha256: known.sha256 };
        }
        const hash = createHash("sha256");
        for await (const chunk of (await Deno.open(path)).readable) {
          signal?.throwIfAborted();
          hash.update(chunk);
        }
        entries.set(path, { size, modifiedMs, sha256: hash.digest("hex") });
      } catch (thrown) {
        if (signal?.aborted === true) throw thrown;
        throw new LoraFleetError("storage", `cannot read ${quote(path)}: ${messageOf(thrown)}`, {
          cause: thrown,
        });
      }
      const bytes = new TextEncoder().encode(JSON.stringify(Object.fromEntries(entries)));
      await writeStreamedFile(cachePath, ReadableStream.from([bytes]), { maxBytes: bytes.byteLength });
      const { size, sha256 } = entries.get(path)!;
      return { size, sha256 };
    },
  };
}
