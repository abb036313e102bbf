import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { join } from "@std/path";
import { loadLadderCase } from "../../tests/golden/golden.ts";
import { goldenEngineSpec } from "../../tests/golden/golden_steps.ts";
import { openDevice } from "../device/open_device.ts";
import { limited, type SmallMemory } from "../device/testing/small_gpu.ts";
import type { EngineSpec } from "./engine.ts";
import { type BudgetOptions, GpuBudgets } from "./gpu_budget.ts";
import { TrainingEngine } from "./training_engine.ts";

const MIB = 2 ** 20;
const golden = loadLadderCase("gqa_tied");
const base = goldenEngineSpec(golden);

async function withFile(run: (path: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir();
  try {
    await run(join(folder, "gpu_memory.json"));
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/** Devices of one card whose memory is `memory`, of a driver that computes on the CPU or says not to. */
function cardOf(memory: SmallMemory, isCpu = false) {
  let opened = 0;
  const open: typeof openDevice = async (options) => {
    opened++;
    return { ...limited(await openDevice(options), memory, MIB), isCpu };
  };
  return { open, opened: () => opened };
}

function budgets(
  changes: Partial<BudgetOptions> = {},
): { of: (spec: Partial<EngineSpec>, isCpu?: boolean) => Promise<unknown> } {
  const all = new GpuBudgets({
    clock: { now: () => 1000 },
    open: openDevice,
    system: () => ({ total: 64 * 1024 * MIB, available: 40 * 1024 * MIB }),
    os: "linux",
    tell: (note) => assertEquals(note, ""),
    ...changes,
  });
  return {
    of: (spec, isCpu = false) =>
      all.of({ ...base, memoryBudgetBytes: null, ...spec }, { isCpu, description: "card" }),
  };
}

Deno.test("a budget is what the user says; on the CPU the free memory, half for activations; on a Mac Metal's share", async () => {
  const { of } = budgets({ open: () => Promise.reject(new Error("nothing is probed")) });
  const given = await of({ memoryBudgetBytes: 7 });
  assertEquals(given, {
    memoryBudgetBytes: 7,
    headroomBytes: 0,
    budgetSource: "as --memory-budget-mib says",
  });
  assertEquals(await of({}, true), {
    memoryBudgetBytes: 40 * 1024 * MIB,
    headroomBytes: 20 * 1024 * MIB,
    budgetSource: "free memory of this machine",
  });
  const mac = budgets({ os: "darwin", open: () => Promise.reject(new Error("nothing is probed")) });
  const { memoryBudgetBytes } = await mac.of({}) as { memoryBudgetBytes: number };
  assertEquals(memoryBudgetBytes, 48 * 1024 * MIB);
});

Deno.test("a card is probed once, and known to later processes", () =>
  withFile(async (gpuMemoryFile) => {
    const card = cardOf({ limitBytes: 1000 * MIB, usedBytes: 0 });
    const expected = {
      memoryBudgetBytes: 960 * MIB,
      headroomBytes: 48 * MIB,
      budgetSource: "found by allocating all of it",
    };
    assertEquals(await budgets({ open: card.open }).of({ gpuMemoryFile }), expected);
    assertEquals(await budgets({ open: card.open }).of({ gpuMemoryFile }), expected);
    assertEquals(card.opened(), 1);
    assertEquals(await budgets({ open: card.open }).of({}), expected);
    assertEquals(card.opened(), 2);
  }));

Deno.test("a folder that cannot be written costs a note; a card that gives nothing is left to allocation", async () => {
  const notes: string[] = [];
  const card = cardOf({ limitBytes: 100 * MIB, usedBytes: 0 });
  const { of } = budgets({ open: card.open, tell: (note) => notes.push(note) });
  await of({ gpuMemoryFile: "/no/such/folder/gpu_memory.json" });
  assertStringIncludes(notes[0]!, "the GPU's memory is not remembered: Writing");
  const none = budgets({ open: cardOf({ limitBytes: 0, usedBytes: 0 }).open });
  assertEquals(await none.of({}), {
    memoryBudgetBytes: null,
    headroomBytes: 0,
    budgetSource: "the probe of the card failed",
  });
});

Deno.test("memory that is taken in mid-job: the micro-batch again with fewer layers, the same bits, and a note", () =>
  withFile(async (gpuMemoryFile) => {
    const { batch } = golden.batches[0]!;
    const calm = new TrainingEngine();
    await calm.load({ ...base, memoryBudgetBytes: null });
    const expected = await calm.computeGradient(batch, 3);
    const digest = await calm.gradientDigest();
    await calm.close();

    const memory: SmallMemory = { limitBytes: 1000 * MIB, usedBytes: 0 };
    const notes: string[] = [];
    const open: typeof openDevice = async (options) => limited(await openDevice(options), memory);
    const engine = new TrainingEngine({ open, tell: (note) => notes.push(note) });
    const { planText } = await engine.load({ ...base, memoryBudgetBytes: null, gpuMemoryFile });
    assertStringIncludes(planText, "all 2 layers' are kept");
    assertStringIncludes(planText, "memory budget: free memory of this machine");
    memory.limitBytes = memory.usedBytes;
    assertEquals(await engine.computeGradient(batch, 3), expected);
    assertEquals(notes.length, 1);
    assertStringIncludes(notes[0]!, "The activations of 1 layers are kept from now on, of 2 before");
    assertEquals(await engine.gradientDigest(), digest);
    memory.limitBytes = 0;
    const gone = await engine.computeGradient(batch, 3).catch((thrown) => thrown);
    assertEquals(gone.code, "does_not_fit");
    await engine.close();
  }));

Deno.test("a card that lied to the probe: the next smaller plan, told, and the next job plans with it", () =>
  withFile(async (gpuMemoryFile) => {
    const spec = { ...base, memoryBudgetBytes: null, gpuMemoryFile };
    const memory: SmallMemory = { limitBytes: 300 * MIB, usedBytes: 0 };
    const open: typeof openDevice = async (options) => ({
      ...limited(await openDevice(options), memory),
      isCpu: false,
    });
    const first = new TrainingEngine({ open });
    const { planText, plannedBytes } = await first.load(spec);
    assertStringIncludes(planText, "memory budget: found by allocating all of it, 256.00 MiB");
    const used = memory.usedBytes;
    await first.close();
    // From now on the card has room for all but the last layer's activations.
    memory.usedBytes = 0;
    memory.limitBytes = used - 1;
    const second = new TrainingEngine({ open });
    const fewer = await second.load(spec);
    assertStringIncludes(fewer.planText, "1 of 2 layers' are kept");
    assertStringIncludes(fewer.planText, "the GPU has memory for 1; 1 are kept");
    assert(fewer.plannedBytes < plannedBytes);
    await second.close();
    memory.usedBytes = 0;
    const third = new TrainingEngine({ open });
    const { planText: corrected } = await third.load(spec);
    assertStringIncludes(corrected, "memory budget: found by an earlier job that got no more");
    assertStringIncludes(corrected, "1 of 2 layers' are kept");
    await third.close();
    // Less than any plan: refused, and probed again by the next job.
    memory.usedBytes = 0;
    memory.limitBytes = 0;
    const none = new TrainingEngine({ open });
    assertEquals((await none.load(spec).catch((thrown) => thrown)).code, "does_not_fit");
    assertEquals(JSON.parse(await Deno.readTextFile(gpuMemoryFile)).cards, {});
  }));
