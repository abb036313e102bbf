/** No submit lasts longer than 200 ms on any card, as predicted: not where one dispatch alone would, not in a worker's first micro-batch. */
import { assert, assertEquals } from "@std/assert";
import { tryCards } from "./card_table.ts";
import { LENS_CARDS, lensCard } from "./cards.ts";
import { parseLensOptions } from "./options.ts";

const LONGEST_MS = 200;

/** Whole dispatches of these last up to 316 ms (output layer), 260 ms (attention, 16,384 tokens), 2.2 s (the same on the smallest card). */
const CASES: readonly (readonly [args: string, cards: readonly string[]])[] = [
  ["--model llama3-1b --tokens 4096", LENS_CARDS.map(({ key }) => key)],
  ["--model llama3-8b", LENS_CARDS.map(({ key }) => key)],
  ["--model llama2-7b --lora-r 256", ["m2-24"]],
  ["--model llama3-70b", ["a100-80"]],
  ["--model tinyllama-1b --tokens 16384", ["m2-24"]],
];

for (const [args, cards] of CASES) {
  Deno.test(`submits stay below 200 ms on ${cards.length === 1 ? cards[0] : `${cards.length} cards`}: ${args}`, async () => {
    const options = parseLensOptions(`${args} --card all`.split(" "));
    const results = await tryCards(options, cards.map(lensCard));
    assertEquals(
      results.filter(({ step }) => step === null).map(({ card, note }) => `${card.key}: ${note}`),
      [],
    );
    for (const { card, step } of results) {
      const { longestSubmitMs } = step!;
      assert(longestSubmitMs > 10 && longestSubmitMs <= LONGEST_MS, `${card.name}: ${longestSubmitMs} ms`);
    }
  });
}
