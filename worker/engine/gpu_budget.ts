/** What of a GPU's memory a job may take: what the user says, else what a probe of the card found. */
import { type Clock, systemClock } from "../../shared/clock.ts";
import { messageOf } from "../../shared/errors.ts";
import { nvidiaDriverVersion } from "../../shared/gpu_hardware.ts";
import { unifiedBytes } from "../../shared/memory/unified_memory.ts";
import type { Gpu } from "../device/gpu.ts";
import { CardMemories, type CardMemory } from "../device/memory/card_memory.ts";
import { probeMemory } from "../device/memory/probe_memory.ts";
import type { openDevice } from "../device/open_device.ts";
import type { EngineSpec } from "./engine.ts";

export interface GpuBudget {
  /** Null: unknown, so that allocation decides. */
  readonly memoryBudgetBytes: number | null;
  /** Of it, what kept activations leave free. */
  readonly headroomBytes: number;
  /** Where it comes from, and what the rest is for: a clause for the plan's text. */
  readonly budgetSource: string;
}

export interface BudgetOptions {
  readonly clock: Pick<Clock, "now">;
  readonly open: typeof openDevice;
  readonly system: () => { readonly total: number; readonly available: number };
  readonly os: typeof Deno.build.os;
  readonly tell: (note: string) => void;
}

/**
 * Of a probed card: the driver's own buffers, staging for transfers, fragments too small for a buffer, and a desktop that opens
 * another window. The coordinator's table of cards leaves as much.
 */
const CARD_HEADROOM = 0.05;
/** Share of a machine's free memory that is left to other programs, and to other workers, who see the same memory free. */
const LEFT_TO_OTHERS = 0.5;

export class GpuBudgets {
  readonly #options: BudgetOptions;

  constructor(options: BudgetOptions) {
    this.#options = options;
  }

  /** The budget of a job on a GPU; probes the card if nobody has done so. */
  async of(spec: EngineSpec, gpu: Pick<Gpu, "isCpu" | "description">): Promise<GpuBudget> {
    const { memoryBudgetBytes } = spec;
    if (memoryBudgetBytes !== null) {
      return { memoryBudgetBytes, headroomBytes: 0, budgetSource: "as --memory-budget-mib says" };
    }
    const { system, os } = this.#options;
    if (gpu.isCpu) return shared(system().available, "free memory of this machine");
    if (os === "darwin") {
      const bytes = unifiedBytes(system().total);
      return {
        memoryBudgetBytes: bytes,
        headroomBytes: CARD_HEADROOM * bytes,
        budgetSource: "what Metal recommends of the machine's memory",
      };
    }
    const known = await this.#memories(spec)?.read(cardOf(gpu)) ?? null;
    return budgetOf(known ?? await this.#probe(spec, gpu), system().available);
  }

  /** The card has less than its probe said: the next job plans with that. */
  async correct({ memoryBudgetBytes, ...spec }: EngineSpec, gpu: Gpu, bytes: number): Promise<void> {
    if (memoryBudgetBytes !== null || gpu.isCpu) return;
    await this.#save(() =>
      this.#memories(spec)?.write(cardOf(gpu), { bytes, isSystemMemory: false, isCorrected: true })
    );
  }

  /** A plan within the budget failed as a whole, or the budget refused the job: the next job probes the card again. */
  async forget(spec: EngineSpec, gpu: Gpu): Promise<void> {
    await this.#save(() => this.#memories(spec)?.forget(cardOf(gpu)));
  }

  async #probe(spec: EngineSpec, gpu: Pick<Gpu, "description">): Promise<CardMemory> {
    const { clock, open, system } = this.#options;
    const { device } = await open({ allowCpu: spec.allowCpu });
    try {
      const probe = { device, clock, systemAvailable: () => system().available };
      const { isLost, ...probed } = await probeMemory(probe);
      const memory = { ...probed, isCorrected: false };
      // A reset in the middle of the probe says nothing of the card: the next start looks again.
      if (memory.bytes > 0 && !isLost) {
        await this.#save(() => this.#memories(spec)?.write(cardOf(gpu), memory));
      }
      return { ...memory, measuredAt: clock.now() };
    } finally {
      device.destroy();
    }
  }

  #memories({ gpuMemoryFile }: Pick<EngineSpec, "gpuMemoryFile">): CardMemories | null {
    return gpuMemoryFile === undefined ? null : new CardMemories(gpuMemoryFile, this.#options.clock);
  }

  /** A folder that cannot be written costs a probe at each start, not the job. */
  async #save(write: () => Promise<void> | undefined): Promise<void> {
    try {
      await write();
    } catch (thrown) {
      this.#options.tell(`the GPU's memory is not remembered: ${messageOf(thrown)}`);
    }
  }
}

/** Of this machine. */
export function budgetsHere(open: BudgetOptions["open"], tell: BudgetOptions["tell"]): GpuBudgets {
  return new GpuBudgets({ clock: systemClock, open, system: Deno.systemMemoryInfo, os: Deno.build.os, tell });
}

function budgetOf({ bytes, isSystemMemory, isCorrected }: CardMemory, available: number): GpuBudget {
  if (isSystemMemory) return shared(available, "free memory of this machine, which the GPU shares");
  if (bytes === 0) {
    return { memoryBudgetBytes: null, headroomBytes: 0, budgetSource: "the probe of the card failed" };
  }
  return {
    memoryBudgetBytes: bytes,
    headroomBytes: CARD_HEADROOM * bytes,
    budgetSource: isCorrected ? "found by an earlier job that got no more" : "found by allocating all of it",
  };
}

function shared(available: number, budgetSource: string): GpuBudget {
  return { memoryBudgetBytes: available, headroomBytes: LEFT_TO_OTHERS * available, budgetSource };
}

/** A card and its driver; two alike in one machine have the same memory. */
function cardOf({ description }: Pick<Gpu, "description">): string {
  const driver = nvidiaDriverVersion();
  return driver === null ? description : `${description}, driver ${driver}`;
}
