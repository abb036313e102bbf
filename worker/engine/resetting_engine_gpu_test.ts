import { assert, assertEquals } from "@std/assert";
import { loadLadderCase } from "../../tests/golden/golden.ts";
import { loadGolden, optimizerOf, runStep } from "../../tests/golden/golden_steps.ts";
import { losingDevice, type Losses } from "../device/testing/losing_device.ts";
import { limited, type SmallMemory } from "../device/testing/small_gpu.ts";
import type { EngineNote } from "./engine_calls.ts";
import { TrainingEngine } from "./training_engine.ts";
import { ResettingEngine } from "./resetting_engine.ts";

const golden = loadLadderCase("gqa_tied");
const batches = golden.batches.map(({ batch }) => batch);
const everything = [batches.map((_, index) => index)];

/** Two steps; the device is lost with a submit of the first or the second one. */
async function twoSteps(losses: Losses, lossInSecondStep: number | null = null) {
  const losing = losingDevice(losses);
  const memory: SmallMemory = { limitBytes: Infinity, usedBytes: 0 };
  const open: typeof losing.open = async (options) => limited(await losing.open(options), memory);
  const notes: EngineNote[] = [];
  const inner = new TrainingEngine({ open });
  const engine = new ResettingEngine(inner, { tell: (note) => notes.push(note) });
  try {
    await loadGolden(engine, golden);
    const loadedAfter = losing.submits();
    const first = await runStep([engine], batches, everything, optimizerOf(golden, 2), null);
    const firstAfter = losing.submits();
    if (lossInSecondStep !== null) losing.loseAgain(firstAfter + lossInSecondStep);
    const second = await runStep([engine], batches, everything, optimizerOf(golden, 3), first.maxAbs);
    const state = await engine.exportState();
    const marks = { loadedAfter, firstAfter, secondAfter: losing.submits() };
    return { outcome: { first, second, state }, notes, marks, opened: losing.opened() };
  } finally {
    await engine.close();
    assertEquals(memory.usedBytes, 0); // no buffer of a lost device is left
  }
}

Deno.test("a device that is lost in mid-step is opened again: the step has the digest and the state that it has without", async () => {
  const calm = await twoSteps({});
  const { loadedAfter, firstAfter, secondAfter } = calm.marks;
  assert(firstAfter - loadedAfter > 8 && secondAfter > firstAfter);
  const middle = Math.floor((loadedAfter + firstAfter) / 2);
  for (const loseAtSubmit of [1, loadedAfter + 2, middle, firstAfter]) {
    const { outcome, notes, opened } = await twoSteps({ loseAtSubmit });
    assertEquals(outcome, calm.outcome, `lost with submit ${loseAtSubmit} of ${firstAfter}`);
    assertEquals(opened, 2);
    assertEquals(notes.filter(({ isReset }) => isReset).length, 1);
  }
  const twice = await twoSteps({ loseAtSubmit: middle }, 5);
  assertEquals(twice.outcome, calm.outcome);
  assertEquals(twice.opened, 3);
});

Deno.test("a driver that fails a submit is treated alike", async () => {
  const calm = await twoSteps({});
  const failAtSubmit = calm.marks.firstAfter - 1;
  const { outcome, opened, notes } = await twoSteps({ failAtSubmit });
  assertEquals(outcome, calm.outcome);
  assertEquals(opened, 2);
  assert(notes[0]!.note.includes("the driver gives up"));
});
