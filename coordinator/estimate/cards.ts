/** Cards that people rent or own, for a plan before any of them has joined. */
import { LARGE_UNIFIED, UNIFIED } from "../../shared/memory/unified_memory.ts";

export interface Card {
  readonly name: string;
  /** Matches what WebGPU calls it; null if the name does not tell the memory. */
  readonly pattern: RegExp | null;
  readonly memoryGib: number;
  /** Share of the memory that one process can have. */
  readonly usable: number;
}

/** Driver, desktop and fragmentation take the rest. */
const DEDICATED = 0.95;

/** The largest buffer that a kernel binds on all of them (worker/device/gpu.ts keeps below 2 GiB). */
export const CARD_TENSOR_BYTES = 2 ** 31 - 256;

export const CARDS: readonly Card[] = [
  { name: "RTX 3090 (24 GB)", pattern: /RTX 3090/, memoryGib: 24, usable: DEDICATED },
  { name: "RTX 4090 (24 GB)", pattern: /RTX 4090/, memoryGib: 24, usable: DEDICATED },
  { name: "RX 7900 XTX (24 GB)", pattern: /RX 7900 XTX/, memoryGib: 24, usable: DEDICATED },
  { name: "A100 (40 GB)", pattern: /A100.*40\s?GB/, memoryGib: 40, usable: DEDICATED },
  { name: "L40S (48 GB)", pattern: /L40S/, memoryGib: 45, usable: DEDICATED },
  { name: "A100 (80 GB)", pattern: /A100.*80\s?GB/, memoryGib: 80, usable: DEDICATED },
  { name: "H100 (80 GB)", pattern: /H100/, memoryGib: 80, usable: DEDICATED },
  { name: "H200 (141 GB)", pattern: /H200/, memoryGib: 139, usable: DEDICATED },
  { name: "MI300X (192 GB)", pattern: /MI300X/, memoryGib: 192, usable: DEDICATED },
  { name: "Apple silicon, 16 GB", pattern: null, memoryGib: 16, usable: UNIFIED },
  { name: "Apple silicon, 24 GB", pattern: null, memoryGib: 24, usable: UNIFIED },
  { name: "Apple silicon, 32 GB", pattern: null, memoryGib: 32, usable: UNIFIED },
  { name: "Apple silicon, 48 GB", pattern: null, memoryGib: 48, usable: LARGE_UNIFIED },
  { name: "Apple silicon, 64 GB", pattern: null, memoryGib: 64, usable: LARGE_UNIFIED },
];

/** Bytes that a job may take on a card. */
export function usableBytes({ memoryGib, usable }: Pick<Card, "memoryGib" | "usable">): number {
  return Math.floor(memoryGib * usable * 2 ** 30);
}

/** A card of `gib` of memory that is not in the table. */
export function cardOf(gib: number): Card {
  return { name: `a card of ${gib} GiB`, pattern: null, memoryGib: gib, usable: DEDICATED };
}

/** The card of a worker by its GPU's name; null if the table lacks it, or if its memory does not follow from the name. */
export function cardNamed(gpu: string): Card | null {
  return CARDS.find(({ pattern }) => pattern?.test(gpu)) ?? null;
}
