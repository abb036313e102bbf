import { assert, assertEquals, assertRejects } from "@std/assert";
import { systemClock } from "../../shared/clock.ts";
import { loadLadderCase } from "../../tests/golden/golden.ts";
import { goldenEngineSpec, loadGolden, optimizerOf, runStep } from "../../tests/golden/golden_steps.ts";
import { LoraFleetError } from "../../shared/errors.ts";
import { loraSchema } from "../../shared/job/job_spec_schema.ts";
import type { MicroBatch } from "../../shared/data/packing/micro_batch.ts";
import { Arrival } from "../async/arrival.ts";
import { startEngineThread } from "./engine_client.ts";
import { TrainingEngine } from "./training_engine.ts";

const golden = loadLadderCase("gqa_tied");
const TICK_MS = 10;
const MAX_GAP_MS = 50;
const WORK_MS = 600;

/** One document of `length` tokens, all with labels. */
function longDocument(length: number, vocabSize: number): MicroBatch {
  const tokens = Uint32Array.from({ length }, (_, t) => t * 7919 % vocabSize);
  return {
    tokens,
    labels: Int32Array.from(tokens, (_, t) => tokens[(t + 1) % length]!),
    positions: Uint32Array.from(tokens, (_, t) => t),
    segmentStarts: new Uint32Array(length),
  };
}

/** The median delay of a tick while `work` runs: a busy machine may delay some, an event loop that computes delays them all. */
async function gapDuring(work: () => Promise<unknown>): Promise<number> {
  let isDone = false;
  const done = work().finally(() => isDone = true);
  const gaps: number[] = [];
  for (let last = systemClock.now(); !isDone;) {
    await systemClock.sleep(TICK_MS);
    const now = systemClock.now();
    gaps.push(now - last - TICK_MS);
    last = now;
  }
  await done;
  return gaps.sort((a, b) => a - b)[gaps.length >> 1]!;
}

Deno.test("the main thread keeps ticking while the engine thread computes for hundreds of milliseconds", async () => {
  const engine = startEngineThread();
  try {
    await engine.load({
      ...goldenEngineSpec(golden),
      modelFolder: `${import.meta.dirname}/../../deploy/demo/assets/base`,
      lora: loraSchema.parse({ r: 8, target_modules: "all-linear" }),
      maxTokensPerMicroBatch: 512,
      maxPositions: 512,
    });
    const batch = longDocument(512, 899);
    await engine.computeGradient(batch, 0); // compiles the kernels
    const gapMs = await gapDuring(async () => {
      const end = systemClock.now() + WORK_MS;
      for (let i = 0; systemClock.now() < end; i++) await engine.computeGradient(batch, i);
    });
    assert(gapMs < MAX_GAP_MS, `half of the ticks were late by ${gapMs} ms or more`);
  } finally {
    await engine.close();
  }
});

Deno.test("steps in the engine thread give the digest that they give without one", async () => {
  const batches = golden.batches.map(({ batch }) => batch);
  const digests = [];
  for (const engine of [new TrainingEngine(), startEngineThread()]) {
    await loadGolden(engine, golden);
    const first = await runStep([engine], batches, [[0, 1]], optimizerOf(golden, 2), null);
    const state = await engine.exportState();
    const second = await runStep([engine], batches, [[0, 1]], optimizerOf(golden, 3), first.maxAbs);
    digests.push([first.digest, second.digest, await engine.importState(state)]);
    const arrival = new Arrival();
    const sums = await engine.readSums(arrival);
    sums.fill(3);
    assertEquals([arrival.count, await arrival.begun], [sums.length, sums]);
    await engine.close();
  }
  assertEquals(digests[1], digests[0]);
});

Deno.test("the engine's errors cross with their code, and the thread keeps working", async () => {
  const engine = startEngineThread();
  try {
    const early = await assertRejects(() => engine.commit(), LoraFleetError, "before it has loaded a model");
    assertEquals(early.code, "conflict");
    const spec = goldenEngineSpec(golden);
    const missing = await assertRejects(
      () => engine.load({ ...spec, modelFolder: "/no/such" }),
      LoraFleetError,
    );
    assertEquals([missing.code, missing.param], ["model_not_found", "/no/such/config.json"]);
    const large = await assertRejects(() => engine.load({ ...spec, memoryBudgetBytes: 1 }), LoraFleetError);
    assertEquals(large.code, "does_not_fit");
    await loadGolden(engine, golden);
    const unknown = { ...golden.batches[0]!.batch, tokens: new Uint32Array(24).fill(4000) };
    const defect = await assertRejects(() => engine.computeGradient(unknown, 0), LoraFleetError, "4000");
    assertEquals(defect.code, "gpu_failure");
    assert((await engine.computeGradient(golden.batches[0]!.batch, 0)).lossSum > 0);
  } finally {
    await engine.close();
  }
});
