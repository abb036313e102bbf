/** A recorded command with its cost. */
import { costOf } from "./costs/command_cost.ts";
import type { KernelCost } from "./costs/kernel_cost.ts";
import type { RecordedCommand } from "./fake_gpu/recorded.ts";

export interface PricedCommand {
  readonly command: RecordedCommand;
  readonly cost: KernelCost;
}

export function price(command: RecordedCommand): PricedCommand {
  return { command, cost: costOf(command) };
}
