/**
 * Predicted times: each dispatch takes what its arithmetic takes or what its bytes take, whichever is longer, and an overhead.
 * Constants are measured elsewhere; docs/lens.md has where, and what the model leaves out.
 */
import type { LensCard } from "./cards.ts";
import { bytesOf } from "./costs/command_cost.ts";
import { fmaShareOf } from "./isa/fma_shares.ts";
import type { PricedCommand } from "./priced_command.ts";

/**
 * Share of the issue slots that a GPU uses under a steady load: cuBLAS, whose inner loop is nearly all multiply–adds, reaches 47
 * of 67 TFLOP/s in f32 on an H200 (power and clock, not code), and 95% of what it issues computes.
 */
const SUSTAINED = 47 / 67 / 0.95;
/** Share of the memory's bandwidth that plain kernels reach. */
const BANDWIDTH_SHARE = 0.75;
/** Seconds to record a dispatch, and to submit, with Deno's WebGPU. */
const [DISPATCH_SECONDS, SUBMIT_SECONDS] = [1e-6, 125e-6];
/** Invocations for each lane that hide the latency of workgroup memory. */
const INVOCATIONS_A_LANE = 2;

type Speed = Pick<LensCard, "peakTflops" | "bandwidthGBs" | "lanes">;

/** Seconds of one command on the GPU. */
export function secondsOf({ command, cost }: PricedCommand, card: Speed): number {
  const memory = bytesOf(cost) / (card.bandwidthGBs * 1e9 * BANDWIDTH_SHARE);
  if (command.kind !== "dispatch") return memory;
  const invocations = command.groups[0] * command.groups[1] * command.groups[2] * command.groupSize;
  const fill = Math.min(1, invocations / (INVOCATIONS_A_LANE * card.lanes));
  const rate = card.peakTflops * 1e12 * SUSTAINED * fmaShareOf(command) * fill;
  return Math.max((cost.issuedFlops ?? cost.flops) / rate, memory) + DISPATCH_SECONDS;
}

/** Seconds of one submit. */
export function submitSeconds(commands: readonly PricedCommand[], card: Speed): number {
  return commands.reduce((sum, command) => sum + secondsOf(command, card), SUBMIT_SECONDS);
}
