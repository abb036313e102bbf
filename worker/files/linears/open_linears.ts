/** A job's linear layers on a worker: read ahead in threads, from the NF4 cache where the worker has one. */
import type { Checkpoint } from "../../../shared/checkpoint/checkpoint_reader.ts";
import { linearModules } from "../../../shared/model/model_tensors.ts";
import { type Nf4CacheSettings, openNf4Cache } from "./nf4_cache.ts";
import { cachedBytes } from "./nf4_cache_file.ts";
import { LinearReader } from "./read_ahead.ts";

export interface LinearsSpec {
  readonly doubleQuantization: boolean;
  readonly nf4Cache?: Nf4CacheSettings | null;
  readonly weightsHash?: string;
}

/** Weights that are stored in NF4, or differ from the stored ones as a PiSSA job's do, are not kept a second time. */
export async function openLinears(checkpoint: Checkpoint, spec: LinearsSpec): Promise<LinearReader> {
  const { doubleQuantization, nf4Cache, weightsHash: source } = spec;
  const sizes = linearModules(checkpoint.spec)
    .filter(({ name, outFeatures, inFeatures }) =>
      checkpoint.linearPlace(name, outFeatures, inFeatures) !== null
    )
    .map(({ outFeatures: rows, inFeatures: columns }) => cachedBytes({ rows, columns, doubleQuantization }));
  const bytes = sizes.reduce((sum, size) => sum + size, 0);
  if (bytes === 0 || !nf4Cache || source === undefined || checkpoint.linearStart !== undefined) {
    return new LinearReader(checkpoint, { doubleQuantization, cache: null });
  }
  const opened = await openNf4Cache(nf4Cache, { source, doubleQuantization, bytes });
  const { cache } = opened;
  const warnings = cache === null ? [`NF4 cache: not used: ${opened.why}`] : [];
  return new LinearReader(checkpoint, { doubleQuantization, cache, warnings });
}
