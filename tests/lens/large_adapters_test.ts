/** Adapters beyond what a kernel binds at once, through the real encode path: planned, allocated and trained in parts. */
import { assert, assertEquals } from "@std/assert";
import { CARD_TENSOR_BYTES } from "../../coordinator/estimate/cards.ts";
import { memoryOf } from "./cards.ts";
import { parseLensOptions } from "./options.ts";
import { recordStep } from "./step.ts";

const CASES = [
  { args: "--model llama2-70b --card h200 --lora-r 64", parameters: 828_375_040, parts: 2 },
  { args: "--model llama2-7b --card rtx3090 --lora-r 256", parameters: 639_631_360, parts: 2 },
];

for (const { args, parameters, parts } of CASES) {
  Deno.test(`${args}: a step is planned, and no kernel binds more than a card can`, async () => {
    const options = parseLensOptions(args.split(" "));
    const record = await recordStep(options.spec, options.card, options);
    assertEquals(record.loraParameters, parameters);
    assert(record.adapterBytes > CARD_TENSOR_BYTES);
    assert(record.plannedBytes < memoryOf(options.card));
    const dispatches = record.submits.flat().flatMap(({ command }) =>
      command.kind === "dispatch" ? [command] : []
    );
    for (const kernel of ["max_abs", "accumulate_gradient"]) {
      assertEquals(dispatches.filter((dispatch) => dispatch.kernel === kernel).length, parts, kernel);
    }
    const bound = dispatches.flatMap(({ bindings }) =>
      Object.values(bindings).map(({ byteLength }) => byteLength)
    );
    assert(bound.every((bytes) => bytes <= CARD_TENSOR_BYTES));
  });
}
