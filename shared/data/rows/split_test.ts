import { assertEquals, assertThrows } from "@std/assert";
import { z } from "zod";
import { readGolden } from "../../../tests/golden/data_goldens.ts";
import { LoraFleetError } from "../../errors.ts";
import { beyondRows, resolveSplit, wholeSplit } from "./split.ts";

const golden = await readGolden(
  "data/split.json",
  z.array(z.object({
    split: z.string(),
    rows: z.number(),
    ranges: z.array(z.tuple([z.number(), z.number()])).nullable(),
  })),
);

const train = (rows: number) => new Map([["train", rows]]);

Deno.test("slices are those of the datasets library, and it refuses what we refuse", () => {
  for (const { split, rows, ranges } of golden) {
    if (ranges !== null) {
      assertEquals(
        resolveSplit(split, train(rows)),
        ranges.map(([from, to]) => ({ split: "train", from, to })),
        `${split} of ${rows}`,
      );
    } else {
      const error = assertThrows(() => resolveSplit(split, train(rows)), LoraFleetError);
      assertEquals([error.code, error.param], ["invalid_request", "dataset.split"]);
    }
  }
});

Deno.test("half rows go to the even neighbour, as Python rounds", () => {
  assertEquals(resolveSplit("train[:10%]", train(25)), [{ split: "train", from: 0, to: 2 }]);
  assertEquals(resolveSplit("train[:10%]", train(35)), [{ split: "train", from: 0, to: 4 }]);
});

Deno.test("several splits have their own sizes, and a sum may mix them", () => {
  const sizes = new Map([["train", 10], ["test", 4]]);
  assertEquals(resolveSplit("test[50%:] + train[:1]", sizes), [
    { split: "test", from: 2, to: 4 },
    { split: "train", from: 0, to: 1 },
  ]);
  const error = assertThrows(() => resolveSplit("validation", sizes), LoraFleetError);
  assertEquals(
    error.message,
    `dataset.split is "validation": there is no split "validation"; the dataset has "train", "test"`,
  );
});

Deno.test("a whole split needs no count of its rows; a slice and a sum do", () => {
  assertEquals(["test", "test[:5]", "test+test"].map((split) => wholeSplit(split, ["train", "test"])), [
    "test",
    null,
    null,
  ]);
});

Deno.test("rows that a slice asks for beyond the end are named", () => {
  const of = (split: string) => beyondRows(split, train(50));
  assertEquals([of("train[:50]"), of("train[-50:]"), of("train[:100%]")], [null, null, null]);
  assertEquals(of("train[:10]+train[100:200]"), "train[100:200]");
});
