/** A toy engine whose GPU gets lost: gradient and sums are gone, and calls fail until it is opened again. */
import type { Clock } from "../../shared/clock.ts";
import { LoraFleetError } from "../../shared/errors.ts";
import { GpuReset } from "../device/error_scopes.ts";
import type { Engine } from "../engine/engine.ts";
import type { ReopenableEngine } from "../engine/resetting_engine.ts";
import { createToyEngine, type ToyEngineOptions } from "./toy_engine.ts";

/** Whether the GPU is lost in its `number`th call, counted from 1 over all of them. */
export type LossAt = (number: number, call: keyof Engine) => boolean;

export interface LosingEngine {
  readonly engine: ReopenableEngine;
  /** Of the GPU, so far. */
  readonly calls: () => number;
  /** The submit targets that it was opened with again. */
  readonly targets: () => readonly number[];
  /** From now on the driver has no GPU for so long after each loss. */
  readonly adapterComesBackAfter: (milliseconds: number) => void;
}

/** Calls that read from the GPU, so that they notice its loss at once. */
const READS: ReadonlySet<keyof Engine> = new Set([
  ...["load", "computeGradient", "gradientDigest", "gradientCheck", "readSums", "evaluate"] as const,
]);
const WRITES: ReadonlySet<keyof Engine> = new Set(
  ["accumulate", "dropSums", "rollback", "importState"] as const,
);

const GARBAGE = {
  tokens: Uint32Array.of(1),
  labels: Int32Array.of(1),
  positions: Uint32Array.of(0),
  segmentStarts: Uint32Array.of(0),
};

export function losingEngine(
  clock: Clock,
  lossAt: LossAt,
  options: Partial<ToyEngineOptions> = {},
): LosingEngine {
  const toy = createToyEngine({ clock, ...options });
  const targets: number[] = [];
  let [calls, isLost, lostAt, awayMs] = [0, false, 0, 0];
  const lose = () => [isLost, lostAt] = [true, clock.now()];
  const assertBack = () => {
    if (isLost && clock.now() < lostAt + awayMs) {
      throw new LoraFleetError("no_gpu", "Opening the GPU failed: WebGPU offers no adapter");
    }
  };

  function guarded<K extends keyof Engine & string>(name: K): Engine[K] {
    const method = toy[name] as unknown as (...args: unknown[]) => Promise<unknown>;
    const call = async (...args: unknown[]) => {
      if (name === "load") {
        assertBack();
        isLost = false; // on a new device
      }
      if (lossAt(++calls, name)) lose();
      if (isLost && READS.has(name)) throw new GpuReset(`Computing "${name}" failed: the device was lost`);
      if (isLost && name === "accumulate") return; // a GPU that is lost computes nothing, and says nothing
      return await method(...args);
    };
    return call as unknown as Engine[K];
  }

  async function reopen(submitTargetMs: number): Promise<void> {
    assertBack();
    targets.push(submitTargetMs);
    isLost = false;
    await toy.dropSums();
    await toy.computeGradient(GARBAGE, 0);
  }

  const names = [...READS, ...WRITES];
  const engine = { ...toy, ...Object.fromEntries(names.map((name) => [name, guarded(name)])), reopen };
  return {
    engine: engine as ReopenableEngine,
    calls: () => calls,
    targets: () => targets,
    adapterComesBackAfter: (milliseconds) => awayMs = milliseconds,
  };
}
