/** Writes a merged model's weights as transformers' `save_pretrained` does: one file, or shards with their index. */
import { LoraFleetError, quote } from "../../../shared/errors.ts";
import type { OutputFolder } from "../files/output_folder.ts";
import type { MergedModel, MergedTensor } from "../../../shared/checkpoint/merge/merged_model.ts";
import { type MergedDtype, ROUNDINGS } from "../../../shared/checkpoint/merge/round.ts";
import { MAX_SHARD_BYTES, planShards, type Shard, shardIndex } from "./shards.ts";

type Sized = MergedTensor & { readonly bytes: number };

export interface MergedFiles {
  readonly totalBytes: number;
  /** @throws LoraFleetError `invalid_request` if a value exceeds the type's range, `storage` */
  write(output: OutputFolder): Promise<void>;
}

export function planMergedFiles(
  model: MergedModel,
  dtype: MergedDtype,
  maxShardBytes = MAX_SHARD_BYTES,
): MergedFiles {
  const { bytes } = ROUNDINGS[dtype];
  const sized = model.tensors.map((tensor): Sized => ({ ...tensor, bytes: tensor.elementCount * bytes }));
  const shards = planShards(sized, maxShardBytes);
  const prefixes = shards.map((shard) => headerOf(shard, dtype));
  return {
    totalBytes: sized.reduce((total, tensor) => total + tensor.bytes, 0) +
      prefixes.reduce((total, prefix) => total + prefix.length, 0),
    async write(output) {
      for (const [index, { filename, tensors }] of shards.entries()) {
        await output.write(filename, shardBytes(prefixes[index]!, tensors, dtype));
      }
      if (shards.length > 1) await output.text("model.safetensors.index.json", shardIndex(shards));
    },
  };
}

/** The length of the header and the header: tensors of one type, in the order of their names as safetensors has it. */
function headerOf({ tensors }: Shard<Sized>, dtype: MergedDtype): Uint8Array {
  let position = 0;
  const entries = tensors.map(({ name, shape, bytes }) => {
    const value = { dtype: ROUNDINGS[dtype].dtype, shape, data_offsets: [position, position += bytes] };
    return `${JSON.stringify(name)}:${JSON.stringify(value)}`;
  });
  const header = new TextEncoder().encode(`{"__metadata__":{"format":"pt"},${entries.join(",")}}`);
  const prefix = new Uint8Array(8 + Math.ceil(header.length / 8) * 8).fill(0x20);
  new DataView(prefix.buffer).setBigUint64(0, BigInt(prefix.length - 8), true);
  prefix.set(header, 8);
  return prefix;
}

async function* shardBytes(
  prefix: Uint8Array,
  tensors: readonly Sized[],
  dtype: MergedDtype,
): AsyncGenerator<Uint8Array> {
  yield prefix;
  const { round } = ROUNDINGS[dtype];
  for (const tensor of tensors) {
    for await (const piece of tensor.pieces()) {
      assertInRange(piece, tensor.name, dtype);
      yield round(piece);
    }
  }
}

/** A value beyond the type's range would become Infinity without a word. */
export function assertInRange(values: Float32Array, name: string, dtype: MergedDtype): void {
  const { max } = ROUNDINGS[dtype];
  for (let i = 0; i < values.length; i++) {
    if (Math.abs(values[i]!) <= max) continue;
    const message = `Merging failed: tensor ${quote(name)} has the value ${values[i]}, and the largest of ` +
      `${dtype} is ${max}; use "bfloat16" or "float32"`;
    throw new LoraFleetError("invalid_request", message, { param: "dtype" });
  }
}
