import { assertEquals, assertThrows } from "@std/assert";
import { z } from "zod";
import { readGolden } from "../../../tests/golden/data_goldens.ts";
import { LoraFleetError } from "../../errors.ts";
import { resolveSplit } from "./split.ts";

const golden = await readGolden(
  "data/split.json",
  z.array(z.object({
    split: z.string(),
    rows: z.number(),
    ranges: z.array(z.tuple([z.number(), z.number()])).nullable(),
  })),
);

Deno.test("slices are those of the datasets library, and it refuses what we refuse", () => {
  for (const { split, rows, ranges } of golden) {
    if (ranges !== null) {
      assertEquals(
        resolveSplit(split, rows),
        ranges.map(([from, to]) => ({ from, to })),
        `${split} of ${rows}`,
      );
    } else {
      const error = assertThrows(() => resolveSplit(split, rows), LoraFleetError);
      assertEquals([error.code, error.param], ["invalid_request", "dataset.split"]);
    }
  }
});

Deno.test("half rows go to the even neighbour, as Python rounds", () => {
  assertEquals(resolveSplit("train[:10%]", 25), [{ from: 0, to: 2 }]);
  assertEquals(resolveSplit("train[:10%]", 35), [{ from: 0, to: 4 }]);
});
