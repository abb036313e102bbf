/** How a model's tensors are divided into safetensors files, with the names and the index that transformers writes. */
import { dumps } from "../../../shared/python/json/dumps.ts";

/** transformers' "5GB". */
export const MAX_SHARD_BYTES = 5e9;

export interface Shard<T> {
  readonly filename: string;
  readonly tensors: readonly T[];
}

interface Sized {
  readonly name: string;
  readonly bytes: number;
}

/** Fills one file after the other, in the order of the tensors; a tensor that is larger than a file gets one of its own. */
export function planShards<T extends Sized>(tensors: readonly T[], maxBytes = MAX_SHARD_BYTES): Shard<T>[] {
  const shards: T[][] = [];
  let size = Infinity;
  for (const tensor of tensors) {
    if (size + tensor.bytes > maxBytes) {
      shards.push([]);
      size = 0;
    }
    shards.at(-1)!.push(tensor);
    size += tensor.bytes;
  }
  const [total, pad] = [shards.length, (n: number) => String(n).padStart(5, "0")];
  return shards.map((of, i) => ({
    filename: total === 1 ? "model.safetensors" : `model-${pad(i + 1)}-of-${pad(total)}.safetensors`,
    tensors: of,
  }));
}

/** The text of `model.safetensors.index.json`. */
export function shardIndex(
  shards: readonly Shard<Sized & { readonly elementCount: number }>[],
): string {
  const all = shards.flatMap(({ tensors }) => tensors);
  const sum = (of: "bytes" | "elementCount") => BigInt(all.reduce((total, tensor) => total + tensor[of], 0));
  const files = shards.flatMap(({ filename, tensors }) => (
    tensors.map(({ name }): [string, string] => [name, filename])
  ));
  const index = new Map<string, Map<string, bigint | string>>([
    ["metadata", new Map([["total_parameters", sum("elementCount")], ["total_size", sum("bytes")]])],
    ["weight_map", new Map(files)],
  ]);
  return `${dumps(index as never, { indent: 2, sortKeys: true })}\n`;
}
