import { assertEquals } from "@std/assert";
import { z } from "zod";
import { readGolden } from "../../../tests/golden/data_goldens.ts";
import { shuffledOrder } from "./shuffled_order.ts";

const golden = await readGolden(
  "data/shuffle.json",
  z.array(z.object({ seed: z.number(), rows: z.number(), order: z.array(z.number()) })),
);

for (const { seed, rows, order } of golden) {
  Deno.test(`${rows} rows shuffled by the seed ${seed} have the order of datasets`, () =>
    assertEquals([...shuffledOrder(seed, rows)], order));
}
