/** How an adapter starts: A random, B zero, so that the model is the base model at first. */
import type { LoraSpec } from "../job/job_spec_schema.ts";
import type { GradientLayout } from "../model/gradient_layout.ts";
import { exactLog } from "./exact_log.ts";

/**
 * PEFT's distributions: Kaiming-uniform with a = √5, that is uniform in ±1/√in; or "gaussian", normal with standard deviation
 * 1/r. Each tensor has its own counter-based sequence, so that every worker draws the same adapter and none has to be sent.
 */
export function initialAdapter(
  layout: GradientLayout,
  seed: number,
  kind?: LoraSpec["init_lora_weights"],
): Float32Array {
  const adapter = new Float32Array(layout.elementCount);
  layout.tensors.forEach(({ name, shape: [rank, columns], offset }, index) => {
    if (!name.endsWith(".lora_A.weight")) return;
    const count = rank * columns;
    if (kind === "gaussian") {
      for (let i = 0; i < count; i++) adapter[offset + i] = normal(hash(seed, index, i)) / rank;
      return;
    }
    const bound = 1 / Math.sqrt(columns);
    for (let i = 0; i < count; i++) {
      adapter[offset + i] = (hash(seed, index, i) / 2 ** 31 - 1) * bound;
    }
  });
  return adapter;
}

/** Element `index` of the standard normal vector number `vector` of a seed. */
export function normalAt(seed: number, vector: number, index: number): number {
  return normal(hash(seed, vector, index));
}

/** A standard normal number by Marsaglia's polar method, in arithmetic that has the same bits on every machine. */
function normal(key: number): number {
  for (let attempt = 0;; attempt++) {
    const u = hash(key, 2 * attempt, 0) / 2 ** 31 - 1;
    const v = hash(key, 2 * attempt + 1, 0) / 2 ** 31 - 1;
    const square = u * u + v * v;
    if (square > 0 && square < 1) return u * Math.sqrt(-2 * exactLog(square) / square);
  }
}

/** A uniform u32 from three counters: murmur3's finaliser over their mix. */
function hash(seed: number, tensor: number, element: number): number {
  let h = Math.imul(seed ^ Math.imul(tensor + 1, 0x9e37_79b1), 0x85eb_ca6b) ^ element;
  h = Math.imul(h ^ (h >>> 16), 0x85eb_ca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2_ae35);
  h = Math.imul(h ^ (h >>> 16), 0x27d4_eb2f) + seed;
  h = Math.imul(h ^ (h >>> 15), 0x85eb_ca6b);
  return (h ^ (h >>> 13)) >>> 0;
}
