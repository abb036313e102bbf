import { assert, assertEquals } from "@std/assert";
import { z } from "zod";
import { loadLadderCase } from "../../tests/golden/golden.ts";
import { goldenEngineSpec, loadGolden, optimizerOf, runStep } from "../../tests/golden/golden_steps.ts";
import evaluations from "../../tests/golden/ladder/evaluation/evaluation.json" with { type: "json" };
import type { Example } from "../../shared/data/packing/example.ts";
import { packRows, toMicroBatch } from "../../shared/data/packing/packing.ts";
import { readAdapter } from "../files/adapter_file.ts";
import { flattenAdapter } from "../model/adapter/adapter_flat.ts";
import { TrainingEngine } from "./training_engine.ts";
import type { EngineSpec } from "./engine.ts";

const goldenSchema = z.object({
  rows: z.array(z.object({ tokens: z.array(z.int()), prompt: z.int() })),
  eval_loss: z.number(),
  correct: z.int(),
  labels: z.int(),
});

const examplesOf = (golden: z.output<typeof goldenSchema>): Example[] =>
  golden.rows.map(({ tokens, prompt }) => ({
    tokens: Uint32Array.from(tokens),
    completionMask: Uint8Array.from(tokens, (_, index) => Number(index >= prompt)),
  }));

/** An engine with a case's base model and its tuned adapter. */
async function tuned(
  name: "gqa_tied" | "qwen2_rslora",
  change: Partial<EngineSpec> = {},
): Promise<TrainingEngine> {
  const golden = loadLadderCase(name);
  const engine = new TrainingEngine();
  const { layout } = await engine.load({ ...goldenEngineSpec(golden), ...change });
  const adapter = flattenAdapter(layout, await readAdapter(golden.adapterFolder));
  const zeros = () => new Float32Array(layout.elementCount);
  await engine.importState({ updateCount: 10, adapter, firstMoment: zeros(), secondMoment: zeros() });
  return engine;
}

async function totalOf(
  engine: TrainingEngine,
  examples: readonly Example[],
  rowsEach: number,
  maxLength: number,
) {
  let [lossSum, labelCount, correctCount] = [0, 0, 0];
  const rows = packRows(examples, "bfd", maxLength);
  for (let from = 0; from < rows.length; from += rowsEach) {
    const part = await engine.evaluate(toMicroBatch(rows.slice(from, from + rowsEach)));
    lossSum += part.lossSum;
    labelCount += part.labelCount;
    correctCount += part.correctCount;
  }
  return { loss: lossSum / labelCount, labelCount, correctCount };
}

for (const name of ["gqa_tied", "qwen2_rslora"] as const) {
  Deno.test(`${name}: loss and hits are those of transformers' Trainer.evaluate, however the rows are packed`, async () => {
    const golden = goldenSchema.parse(evaluations[name]);
    const engine = await tuned(name, { maxTokensPerMicroBatch: 120 });
    for (const [rowsEach, maxLength] of [[1, 40], [3, 40], [1, 120]] as const) {
      const { loss, labelCount, correctCount } = await totalOf(
        engine,
        examplesOf(golden),
        rowsEach,
        maxLength,
      );
      const error = Math.abs(loss - golden.eval_loss) / golden.eval_loss;
      assert(error < 1e-4, `${loss}, transformers has ${golden.eval_loss}`);
      assertEquals([labelCount, correctCount], [golden.labels, golden.correct]);
    }
    await engine.close();
  });
}

Deno.test("an evaluation between two steps leaves every bit of the training as it is", async () => {
  const golden = loadLadderCase("gqa_tied");
  const rows = examplesOf(goldenSchema.parse(evaluations.gqa_tied));
  const batches = golden.batches.map(({ batch }) => batch);
  const digests = async (change: Partial<EngineSpec>, evaluates: boolean) => {
    const engine = new TrainingEngine();
    await engine.load({ ...goldenEngineSpec(golden), ...change });
    await engine.importState(await loadGolden(new TrainingEngine(), golden));
    const found: string[] = [];
    let before: Float32Array | null = null;
    for (let step = 0; step < 3; step++) {
      if (evaluates) await totalOf(engine, rows, 1, 40);
      const done = await runStep([engine], batches, [[0, 1]], optimizerOf(golden, step), before);
      before = done.maxAbs;
      found.push(done.digest);
    }
    await engine.close();
    return found;
  };
  const lora = { ...golden.lora, lora_dropout: 0.2 };
  // Training's micro-batches have up to 24 tokens, the rows up to 38: the logits' blocks stay those of training.
  const calm = await digests({ lora, maxTokensPerMicroBatch: 24 }, false);
  assertEquals(await digests({ lora, maxTokensPerMicroBatch: 24, maxTokensPerEvaluation: 40 }, true), calm);
});

Deno.test("rows longer than any that is trained on have the same loss, block by block", async () => {
  const golden = goldenSchema.parse(evaluations.gqa_tied);
  const whole = await tuned("gqa_tied");
  const blocks = await tuned("gqa_tied", { maxTokensPerMicroBatch: 7, maxTokensPerEvaluation: 40 });
  const [a, b] = [
    await totalOf(whole, examplesOf(golden), 1, 40),
    await totalOf(blocks, examplesOf(golden), 1, 40),
  ];
  assert(Math.abs(a.loss - b.loss) < 1e-6 * a.loss, `${a.loss} and ${b.loss}`);
  assertEquals([b.labelCount, b.correctCount], [a.labelCount, a.correctCount]);
  await whole.close();
  await blocks.close();
});
