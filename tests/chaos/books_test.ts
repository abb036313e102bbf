import { assertEquals } from "@std/assert";
import type { Engine } from "../../worker/engine/engine.ts";
import { createToyEngine } from "../../worker/testing/toy_engine.ts";
import { systemClock } from "../../shared/clock.ts";
import { keepBook, type Line } from "./book_engine.ts";
import { checkBooks } from "./books.ts";

const updated = (worker: string, step: number, microBatches: number[]): Line => ({
  ...{ type: "updated", worker, step, microBatches },
});
const EXPECTED = new Map([[1, [0, 1, 2]], [2, [3, 4, 5]]]);
const GOOD = [updated("a", 1, [0, 2]), updated("b", 1, [1]), updated("a", 2, [3, 4, 5])];
const WORDS = [
  { worker: "a", step: 1, term: 1, generation: 1 },
  { worker: "b", step: 1, term: 1, generation: 1 },
  { worker: "a", step: 2, term: 1, generation: 2 },
];
const found = (lines: Line[], words = WORDS) => {
  const { lost, doubled, foreign } = checkBooks(lines, words, EXPECTED);
  return { lost, doubled, foreign };
};

Deno.test("each micro-batch once: nothing is found", () => {
  assertEquals(found(GOOD), { lost: [], doubled: [], foreign: [] });
});

Deno.test("what is missing, twice there, or of another step is found", () => {
  assertEquals(found([updated("a", 1, [0, 2]), updated("b", 1, []), GOOD[2]!]).lost, [1]);
  assertEquals(found([updated("a", 1, [0, 1, 2]), updated("b", 1, [1]), GOOD[2]!]).doubled, [1]);
  assertEquals(found([...GOOD.slice(0, 2), updated("a", 2, [2, 3, 4, 5])]).foreign, [2]);
  assertEquals(found(GOOD.slice(0, 2)).lost, [3, 4, 5]);
});

Deno.test("of a step with several rounds the last one counts, with those who were in it", () => {
  const lines = [updated("a", 1, [0, 2]), updated("b", 1, [1]), updated("a", 1, [0, 2, 1]), GOOD[2]!];
  for (const round of [{ term: 1, generation: 5 }, { term: 2, generation: 0 }]) {
    const words = [...WORDS, { worker: "a", step: 1, ...round }];
    assertEquals(found(lines, words), { lost: [], doubled: [], foreign: [] });
    assertEquals(found(GOOD, words).lost, [1]);
  }
});

Deno.test("an engine's book has what is in its sums, also after they were taken, and nothing that was rolled back", async () => {
  const lines: Line[] = [];
  const engine: Engine = keepBook(createToyEngine({ clock: systemClock }), "a", (line) => lines.push(line));
  await engine.load({
    ...{ modelFolder: "", seed: 1, doubleQuantization: true, gradientCheckpointing: true, maxPositions: 8 },
    ...{ maxTokensPerMicroBatch: 8, allowCpu: true, memoryBudgetBytes: null },
    lora: { r: 4, alpha: 8, dropout: 0, target_modules: ["q_proj"] } as never,
  });
  const one = Uint32Array.of(1);
  const add = async (number: number) => {
    await engine.computeGradient(
      {
        tokens: one,
        labels: Int32Array.of(2),
        positions: Uint32Array.of(0),
        segmentStarts: Uint32Array.of(0),
      },
      number,
    );
    await engine.accumulate(Int8Array.of(-20, -20));
  };
  const update = async (updateNumber: number) => {
    const hyper = { learningRate: 0.1, beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: 0 };
    await engine.update({
      ...{ sums: await engine.readSums(), exponents: Int8Array.of(-20, -20), labelCount: 1, updateNumber },
      ...{ maxGradientNorm: 0, ...hyper },
    });
  };
  await add(7);
  await engine.rollback();
  await add(8);
  await update(1);
  await add(9);
  await update(1);
  await engine.commit();
  await add(10);
  await update(2);
  assertEquals(lines.filter(({ type }) => type === "updated"), [
    updated("a", 1, [8]),
    updated("a", 1, [8, 9]),
    updated("a", 2, [10]),
  ]);
  await engine.close();
});
