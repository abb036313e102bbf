/** NEFTune's noise on embeddings (Jain and others, 2023): uniform in ±alpha/√(L·d), with L the tokens of the document. */
import { defineKernel, type KernelArguments } from "../../device/kernel.ts";
import type { Pass } from "../../device/pass.ts";
import { COUNTER_HASH, counterHash, type CounterKey } from "./counter_hash.ts";
import { LINEAR_MAIN, linearGroups } from "./linear_index.ts";

const noise = defineKernel({
  label: "embedding_noise",
  source: `${COUNTER_HASH}
fn element(index: u32) {
  let token = index / params.columns;
  let length = f32(documentEnds[token] - documentStarts[token]);
  let uniform = f32(counterHash(index, params.keyLow, params.keyHigh) >> 8u) * 0x1p-23 - 1.0;
  x[index] += uniform * (params.magnitude / sqrt(length));
}
` + LINEAR_MAIN,
  params: { count: "u32", columns: "u32", keyLow: "u32", keyHigh: "u32", magnitude: "f32" },
  bindings: { x: "read_write f32", documentStarts: "read u32", documentEnds: "read u32" },
});

/** The share of an element's bound, in [−1, 1). */
export function uniformNoise(key: CounterKey, index: number): number {
  return (counterHash(key, index) >>> 8) / 2 ** 23 - 1;
}

/** x [rows, columns] += noise; documentStarts and documentEnds [rows] bound each token's document. */
export function encodeEmbeddingNoise(
  pass: Pass,
  call:
    & Pick<KernelArguments<typeof noise>, "x" | "documentStarts" | "documentEnds">
    & { rows: number; columns: number; key: CounterKey; alpha: number },
): void {
  const { rows, columns, key: { low: keyLow, high: keyHigh }, alpha } = call;
  const count = rows * columns;
  const params = { count, columns, keyLow, keyHigh, magnitude: alpha / Math.sqrt(columns) };
  pass.dispatch(noise, { ...call, ...params }, linearGroups(count));
}
