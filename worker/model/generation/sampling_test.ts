import { assert, assertAlmostEquals, assertEquals } from "@std/assert";
import { goldenPath } from "../../../tests/golden/golden.ts";
import { createChooser, nextTokens } from "./sampling.ts";

const GOLDEN = JSON.parse(Deno.readTextFileSync(goldenPath("exports/sampling.json")));
const LOGITS = Float32Array.from(GOLDEN.logits);

for (const { temperature, top_p: topP, top_k: topK, probabilities } of GOLDEN.cases) {
  const settings = `temperature ${temperature}, top-p ${topP}, top-k ${topK}`;
  Deno.test(`the next token has transformers' probabilities: ${settings}`, () => {
    const dense = new Float64Array(LOGITS.length);
    const found = nextTokens(LOGITS, { temperature, topP, topK, seed: 1 });
    for (const { token, probability } of found) dense[token] = probability;
    for (const [token, probability] of probabilities.entries()) {
      assertAlmostEquals(dense[token]!, probability, 1e-6);
      assertEquals(dense[token] === 0, probability === 0);
    }
  });
}

Deno.test("tokens are drawn as often as their probabilities say; a seed repeats them", () => {
  const sampling = { temperature: 1, topP: 0.9, topK: 4, seed: 7 };
  const expected = nextTokens(LOGITS, sampling);
  const draw = (promptIndex: number) => {
    const choose = createChooser(sampling, promptIndex);
    return Array.from({ length: 4000 }, () => choose(LOGITS));
  };
  const drawn = draw(3);
  for (const { token, probability } of expected) {
    const share = drawn.filter((other) => other === token).length / drawn.length;
    // Four standard deviations.
    assert(Math.abs(share - probability) < 4 * Math.sqrt(probability * (1 - probability) / drawn.length));
  }
  assertEquals(draw(3), drawn);
  assert(draw(4).some((token, i) => token !== drawn[i]));
});
