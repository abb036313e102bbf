/** A card as a fake device that has a clock, by which the worker learns the card's speed. */
import { hardwareOf, type LensCard } from "./cards.ts";
import { costOf } from "./costs/command_cost.ts";
import type { FakeHardware } from "./fake_gpu/fake_device.ts";
import { submitSeconds } from "./predict.ts";

export function timedHardwareOf(card: LensCard, memoryBytes: number): FakeHardware {
  return {
    ...hardwareOf(card, memoryBytes),
    secondsOf: (commands) =>
      commands.length === 0
        ? 0
        : submitSeconds(commands.map((command) => ({ command, cost: costOf(command) })), card),
  };
}
