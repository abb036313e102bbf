import { assertEquals, assertMatch } from "@std/assert";
import { cardLines, cardsJson, tryCards } from "./card_table.ts";
import { lensCard } from "./cards.ts";
import { parseLensOptions } from "./options.ts";

Deno.test("a line for each card: what it makes of the step, or why it does not fit", async () => {
  const options = parseLensOptions("--model llama2-70b --lora-r 8 --tokens 256 --card all".split(" "));
  const results = await tryCards(options, [lensCard("rtx3090"), lensCard("h200")]);
  const [head, small, large] = cardLines(results).split("\n");
  assertMatch(head!, /^card +GiB +TFLOP +tokens\/s +submit, ms$/);
  assertMatch(small!, /^RTX 3090 .* – {2}the job needs \d+\.\d\d GiB, and RTX 3090 has 22\.80 GiB for it/);
  assertMatch(large!, /^H200 SXM +\d+\.\d\d +\d+\.\d +\d+ +\d+ {2}all 80 layers' are kept$/);
  assertEquals(cardsJson(results).map(({ card, fits }) => [card, fits]), [["rtx3090", false], [
    "h200",
    true,
  ]]);
});
