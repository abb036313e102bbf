import { assert, assertEquals, assertRejects } from "@std/assert";
import { flattenTensors, goldenPath, LADDER_CASES, loadLadderCase } from "../../../tests/golden/golden.ts";
import { allLogits, GOLDEN_MAX_TOKENS, loadGoldenModel } from "../../../tests/golden/golden_model.ts";
import { LoraFleetError } from "../../../shared/errors.ts";
import { IGNORE_INDEX, type MicroBatch } from "../../../shared/data/packing/micro_batch.ts";
import { argmaxCpu } from "../../kernels/vocabulary/argmax_cpu.ts";
import { Generator } from "./generate.ts";
import type { LanguageModel } from "../language_model.ts";

const NO_STOP: ReadonlySet<number> = new Set();
const golden = loadLadderCase("gqa_tied");
const prompts = [[5, 9, 2, 77, 31, 8], [3], [12, 12, 12, 40], [90, 1, 64, 7, 23, 55, 101, 4, 18]].map((ids) =>
  Uint32Array.from(ids)
);

const generationModel = (changes = {}) => loadGoldenModel(golden, { training: false, ...changes });

/** Greedy generation without a cache: recomputes all tokens for each new one. */
async function answerSlowly(model: LanguageModel, prompt: Uint32Array, count: number): Promise<number[]> {
  const tokens = [...prompt];
  for (let i = 0; i < count; i++) {
    const logits = await allLogits(model, documentOf(tokens));
    tokens.push(argmaxCpu(logits.subarray(-model.spec.vocabSize), model.spec.vocabSize)[0]!);
  }
  return tokens.slice(prompt.length);
}

function documentOf(tokens: readonly number[]): MicroBatch {
  return {
    tokens: Uint32Array.from(tokens),
    labels: new Int32Array(tokens.length).fill(IGNORE_INDEX),
    positions: Uint32Array.from(tokens, (_, position) => position),
    segmentStarts: new Uint32Array(tokens.length),
  };
}

for (const name of LADDER_CASES) {
  Deno.test(`${name}: greedy answers equal an argmax without a cache`, async () => {
    const model = await loadGoldenModel(loadLadderCase(name), { training: false });
    const generator = new Generator(model, 64);
    const known = prompts.slice(0, 3).map((prompt) => prompt.map((token) => token % model.spec.vocabSize));
    const answers = await generator.generate(known, { maxNewTokens: 8, stopTokens: NO_STOP });
    for (const [index, answer] of answers.entries()) {
      assertEquals(answer, await answerSlowly(model, known[index]!, 8));
    }
  });
}

for (const name of LADDER_CASES) {
  Deno.test(`${name}: greedy answers with the trained adapter equal those of transformers`, async () => {
    const { prompts, answers } = JSON.parse(await Deno.readTextFile(goldenPath("generation.json")));
    const golden = loadLadderCase(name);
    const model = await loadGoldenModel(golden, { training: false });
    model.flat.write(flattenTensors(model.lora.layout, golden.finalAdapter));
    const known = prompts.map((prompt: number[]) =>
      Uint32Array.from(prompt, (token) => token % model.spec.vocabSize)
    );
    const options = { maxNewTokens: answers[name][0].length, stopTokens: NO_STOP };
    assertEquals(await new Generator(model, 64).generate(known, options), answers[name]);
  });
}

Deno.test("prompts answered together get the answers that they get alone, in waves of any size", async () => {
  const model = await generationModel();
  const options = { maxNewTokens: 6, stopTokens: NO_STOP };
  const together = await new Generator(model, 64).generate(prompts, options);
  const inWaves = await new Generator(model, 16).generate(prompts, options);
  const alone = new Generator(model, 15);
  for (const [index, prompt] of prompts.entries()) {
    assertEquals(await alone.generate([prompt], options), [together[index]]);
  }
  assertEquals(inWaves, together);
});

Deno.test("an answer ends before a stop token while the others continue", async () => {
  const model = await generationModel();
  const generator = new Generator(model, 64);
  const whole = await generator.generate(prompts, { maxNewTokens: 8, stopTokens: NO_STOP });
  const stop = whole[0]![3]!;
  const stopped = await generator.generate(prompts, { maxNewTokens: 8, stopTokens: new Set([stop]) });
  assertEquals(
    stopped,
    whole.map((answer) => answer.includes(stop) ? answer.slice(0, answer.indexOf(stop)) : answer),
  );
  assert(stopped[0]!.length <= 3);
});

Deno.test("an empty prompt has an empty answer, and so has any prompt with maxNewTokens 0", async () => {
  const model = await generationModel();
  const generator = new Generator(model, 64);
  const [empty, other] = await generator.generate([new Uint32Array(0), prompts[0]!], {
    maxNewTokens: 4,
    stopTokens: NO_STOP,
  });
  assertEquals([empty!.length, other!.length], [0, 4]);
  assertEquals(await generator.generate(prompts, { maxNewTokens: 0, stopTokens: NO_STOP }), [[], [], [], []]);
  assertEquals(await generator.generate([], { maxNewTokens: 4, stopTokens: NO_STOP }), []);
});

Deno.test("the output layer in chunks chooses the same tokens", async () => {
  const options = { maxNewTokens: 6, stopTokens: NO_STOP };
  const whole = await new Generator(await generationModel(), 64).generate(prompts, options);
  const chunked = await generationModel({ logitsChunkBytes: 50 * GOLDEN_MAX_TOKENS * 4 });
  assertEquals(await new Generator(chunked, 64).generate(prompts, options), whole);
});

Deno.test("a prompt that does not fit is refused with the numbers, before any work", async () => {
  const cases: [changes: Record<string, number>, cacheTokens: number, maxNewTokens: number][] = [
    [{}, 14, 6],
    [{ maxTokens: 8 }, 64, 6],
    [{ maxPositions: 14 }, 64, 6],
  ];
  for (const [changes, cacheTokens, maxNewTokens] of cases) {
    const generator = new Generator(await generationModel(changes), cacheTokens);
    const error = await assertRejects(
      () => generator.generate(prompts, { maxNewTokens, stopTokens: NO_STOP }),
      LoraFleetError,
      "prompt 3 has 9 tokens and may get 6 more",
    );
    assertEquals(error.code, "does_not_fit");
  }
});
