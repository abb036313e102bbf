import { assertEquals, assertStringIncludes } from "@std/assert";
import { LoraFleetError } from "../../../shared/errors.ts";
import { documentsOf, fileOf, prepareInMemory, specOf, texts, tokenizer } from "./dataset_fixture.ts";
import { aboutPart, type DatasetPart } from "./dataset_part.ts";
import { sha256Of } from "../../storage/streamed_file.ts";

const linesOf = async (dataset: Record<string, unknown>, part: DatasetPart, seed = 42, count = 50) => {
  const filePath = await fileOf(texts(count));
  const spec = specOf(dataset, {}, seed);
  const files = [{ path: filePath, name: "data.jsonl", sha256: sha256Of(await Deno.readFile(filePath)) }];
  const prepare = () => prepareInMemory({ files, spec, part, tokenizer });
  const { rows } = await aboutPart(spec, part, prepare);
  return documentsOf(rows).flatMap(({ lines }) => lines!).sort((a, b) => a - b);
};

Deno.test("test_size: each row is either trained on or evaluated, drawn by the seed alone", async () => {
  for (const [test_size, count] of [[0.1, 5], [0.11, 6], [7, 7]] as const) {
    const [training, validation] = await Promise.all([
      linesOf({ test_size }, "training"),
      linesOf({ test_size }, "validation"),
    ]);
    assertEquals(validation.length, count);
    assertEquals(
      [...training, ...validation].sort((a, b) => a - b),
      Array.from({ length: 50 }, (_, i) => i + 1),
    );
    assertEquals(await linesOf({ test_size }, "validation"), validation);
    assertEquals(await linesOf({ test_size }, "validation", 43) === validation, false);
  }
});

Deno.test("test_size holds out the rows that datasets' train_test_split(seed=42) does", async () => {
  // Of 50 rows, with datasets 5.2.0.
  assertEquals(await linesOf({ test_size: 0.1 }, "validation"), [6, 21, 26, 40, 50]);
  assertEquals(await linesOf({ test_size: 0.11 }, "validation"), [6, 21, 26, 28, 40, 50]);
  assertEquals(await linesOf({ test_size: 7 }, "validation"), [6, 21, 26, 28, 40, 48, 50]);
});

Deno.test("test_size draws over all rows, as train_test_split does, and leaves unusable ones out of both parts after it", async () => {
  // Of 40 lines, with datasets 5.2.0: every fourth is blank, as its "text" loader gives them.
  const text = Array.from({ length: 40 }, (_, i) => (i % 4 === 3 ? "" : `line ${i}`) + "\n").join("");
  const ofPart = async (test_size: number, part: DatasetPart, content = text) => {
    const path = await fileOf(content);
    const files = [{ path, name: "data.txt", sha256: null }];
    const { rows } = await prepareInMemory({ files, spec: specOf({ test_size }), part, tokenizer });
    return documentsOf(rows).flatMap(({ lines }) => lines!).sort((a, b) => a - b);
  };
  // Held out are 8, 19, 33 and 40, of which 8 and 40 are blank. Of the 30 others alone it would be 10, 22 and 39.
  assertEquals(await ofPart(0.1, "validation"), [19, 33]);
  assertEquals(await ofPart(5, "validation"), [5, 19, 33]);
  const training = await ofPart(0.1, "training");
  assertEquals([training.length, training.includes(19), training.includes(39)], [28, false, true]);
  const blank = text.replaceAll(/line (18|32)/g, "");
  const error = await ofPart(0.1, "validation", blank).catch((thrown) => thrown);
  assertStringIncludes(error.message, "dataset.test_size is 0.1: none of the rows");
  assertEquals([error.code, error.param], ["invalid_dataset", "dataset.test_size"]);
});

Deno.test("test_size draws from the slice that is trained on", async () => {
  const dataset = { split: "train[:20%]", test_size: 0.2 };
  const [training, validation] = await Promise.all([
    linesOf(dataset, "training"),
    linesOf(dataset, "validation"),
  ]);
  assertEquals([training.length, validation.length], [8, 2]);
  assertEquals(Math.max(...training, ...validation), 10);
});

Deno.test("eval_split is a slice of the training file", async () => {
  const dataset = { split: "train[:45]", eval_split: "train[45:]" };
  assertEquals((await linesOf(dataset, "training")).length, 45);
  assertEquals(await linesOf(dataset, "validation"), [46, 47, 48, 49, 50]);
});

Deno.test("a validation file is evaluated whole, whatever slice is trained on", async () => {
  assertEquals((await linesOf({ split: "train[:10%]" }, "validation")).length, 50);
});

Deno.test("errors name the field that the rows to evaluate come from", async () => {
  const cases: [Record<string, unknown>, string, string][] = [
    [{ test_size: 50 }, "dataset.test_size", "none is left to train on"],
    [{ eval_split: "test" }, "dataset.eval_split", 'there is no split "test"'],
    [{ eval_split: "train[60:]" }, "dataset.eval_split", "has no rows"],
  ];
  for (const [dataset, param, part] of cases) {
    const error = await linesOf(dataset, "validation").then(() => null, (thrown: unknown) => thrown);
    if (!(error instanceof LoraFleetError)) throw new Error(`accepted: ${JSON.stringify(dataset)}`);
    assertEquals(error.param, param);
    assertStringIncludes(error.message, part);
  }
});
