/** The speed of the cards of the memory plan, and the limits that WebGPU has on them. */
import { type Card, CARDS, usableBytes } from "../../coordinator/estimate/cards.ts";
import { LoraFleetError, quote } from "../../shared/errors.ts";
import type { FakeHardware, FakeLimits } from "./fake_gpu/fake_device.ts";

export interface LensCard {
  /** For the command line. */
  readonly key: string;
  readonly name: string;
  /** Its row in the memory plan's table (coordinator/estimate/cards.ts). */
  readonly plan: string;
  /** f32 multiply–adds as two, without tensor cores. */
  readonly peakTflops: number;
  readonly bandwidthGBs: number;
  /** f32 multiply–adds a clock: invocations that compute at the same time. */
  readonly lanes: number;
  readonly source: string;
  readonly vendor: "nvidia" | "amd" | "apple";
}

/** As published, at the boost clock. */
export const LENS_CARDS: readonly LensCard[] = [
  {
    ...{ key: "rtx3090", name: "RTX 3090", plan: "RTX 3090 (24 GB)", vendor: "nvidia" },
    ...{ peakTflops: 35.6, bandwidthGBs: 936, lanes: 10_496 },
    source: "NVIDIA Ampere GA102 whitepaper",
  },
  {
    ...{ key: "rtx4090", name: "RTX 4090", plan: "RTX 4090 (24 GB)", vendor: "nvidia" },
    ...{ peakTflops: 82.6, bandwidthGBs: 1008, lanes: 16_384 },
    source: "NVIDIA Ada whitepaper",
  },
  {
    ...{ key: "l40s", name: "L40S", plan: "L40S (48 GB)", vendor: "nvidia" },
    ...{ peakTflops: 91.6, bandwidthGBs: 864, lanes: 18_176 },
    source: "NVIDIA L40S datasheet",
  },
  {
    ...{ key: "a100-40", name: "A100 40 GB", plan: "A100 (40 GB)", vendor: "nvidia" },
    ...{ peakTflops: 19.5, bandwidthGBs: 1555, lanes: 6912 },
    source: "NVIDIA A100 datasheet",
  },
  {
    ...{ key: "a100-80", name: "A100 80 GB SXM", plan: "A100 (80 GB)", vendor: "nvidia" },
    ...{ peakTflops: 19.5, bandwidthGBs: 2039, lanes: 6912 },
    source: "NVIDIA A100 datasheet",
  },
  {
    ...{ key: "h100", name: "H100 SXM", plan: "H100 (80 GB)", vendor: "nvidia" },
    ...{ peakTflops: 67, bandwidthGBs: 3350, lanes: 16_896 },
    source: "NVIDIA H100 datasheet",
  },
  {
    ...{ key: "h200", name: "H200 SXM", plan: "H200 (141 GB)", vendor: "nvidia" },
    ...{ peakTflops: 67, bandwidthGBs: 4800, lanes: 16_896 },
    source: "NVIDIA H200 datasheet",
  },
  {
    // AMD's 61.4 and 163.4 TFLOP/s need two operations an instruction, which compilers seldom find.
    ...{ key: "rx7900xtx", name: "RX 7900 XTX", plan: "RX 7900 XTX (24 GB)", vendor: "amd" },
    ...{ peakTflops: 30.7, bandwidthGBs: 960, lanes: 6144 },
    source: "AMD RX 7900 XTX product page, without dual issue",
  },
  {
    ...{ key: "mi300x", name: "MI300X", plan: "MI300X (192 GB)", vendor: "amd" },
    ...{ peakTflops: 81.7, bandwidthGBs: 5300, lanes: 19_456 },
    source: "AMD MI300X datasheet, without packed instructions",
  },
  {
    ...{ key: "m1max-32", name: "Apple M1 Max, 32 GB", plan: "Apple silicon, 32 GB", vendor: "apple" },
    ...{ peakTflops: 10.4, bandwidthGBs: 400, lanes: 4096 },
    source: "Apple newsroom, October 2021",
  },
  {
    ...{ key: "m2-24", name: "Apple M2, 24 GB", plan: "Apple silicon, 24 GB", vendor: "apple" },
    ...{ peakTflops: 3.6, bandwidthGBs: 100, lanes: 1280 },
    source: "Apple newsroom, June 2022",
  },
  {
    ...{ key: "m2ultra-64", name: "Apple M2 Ultra, 64 GB", plan: "Apple silicon, 64 GB", vendor: "apple" },
    ...{ peakTflops: 27.2, bandwidthGBs: 800, lanes: 9728 },
    source: "76 cores of 128 lanes at 1.398 GHz; bandwidth: Apple newsroom, June 2023",
  },
  {
    ...{ key: "m1max-64", name: "Apple M1 Max, 64 GB", plan: "Apple silicon, 64 GB", vendor: "apple" },
    ...{ peakTflops: 10.4, bandwidthGBs: 400, lanes: 4096 },
    source: "Apple newsroom, October 2021",
  },
];

/** What wgpu requests; Vulkan's drivers report a little less than 4 GiB for a binding, and any size for a buffer. */
const LIMITS: FakeLimits = {
  maxBufferSize: 2 ** 40,
  maxStorageBufferBindingSize: 2 ** 32 - 4,
  maxStorageBuffersPerShaderStage: 64,
  maxComputeWorkgroupStorageSize: 49_152,
  maxComputeInvocationsPerWorkgroup: 1024,
  maxComputeWorkgroupSizeX: 1024,
  maxComputeWorkgroupsPerDimension: 65_535,
};

const LIMITS_OF: Readonly<Record<LensCard["vendor"], FakeLimits>> = {
  nvidia: LIMITS,
  amd: { ...LIMITS, maxComputeWorkgroupStorageSize: 65_536 },
  apple: { ...LIMITS, maxStorageBuffersPerShaderStage: 31, maxComputeWorkgroupStorageSize: 32_768 },
};

/** @throws LoraFleetError `usage` */
export function lensCard(key: string): LensCard {
  const card = LENS_CARDS.find((each) => each.key === key);
  if (card !== undefined) return card;
  const keys = LENS_CARDS.map((each) => each.key).join(", ");
  throw new LoraFleetError("usage", `--card is ${quote(key)}; one of ${keys} is needed`, { param: "card" });
}

function planned({ plan }: Pick<LensCard, "plan">): Card {
  const card = CARDS.find(({ name }) => name === plan);
  if (card === undefined) throw new RangeError(`coordinator/estimate/cards.ts has no "${plan}"`);
  return card;
}

/** Bytes that a job may take on the card, as the memory plan has it. */
export function memoryOf(card: Pick<LensCard, "plan">): number {
  return usableBytes(planned(card));
}

/** The card as a fake device, with all of its memory. */
export function hardwareOf(card: LensCard): FakeHardware {
  const memoryBytes = planned(card).memoryGib * 2 ** 30;
  return { description: card.name, memoryBytes, limits: LIMITS_OF[card.vendor] };
}
