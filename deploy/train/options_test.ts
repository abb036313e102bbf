import { assertEquals, assertThrows } from "@std/assert";
import { LoraFleetError } from "../../shared/errors.ts";
import { parsePlanOptions, parseTrainOptions } from "./options.ts";

const JOB = ["--model", "org/m", "--data", "rows.jsonl"];

Deno.test("model, data and a folder are enough", () => {
  const options = parseTrainOptions([...JOB, "--out", "/o"])!;
  assertEquals([options.model, options.data, options.outFolder], ["org/m", "rows.jsonl", "/o"]);
  assertEquals([options.workerCount, options.maxSteps, options.coordinatorUrl], [1, null, null]);
  assertEquals([options.exports, options.settings, options.isFresh], [[], [], false]);
});

Deno.test("all options", () => {
  const options = parseTrainOptions([
    ...[...JOB, "--out", "/o", "--export", "merged, gguf", "--steps", "5", "--workers", "2", "--fresh"],
    ...[
      "--set",
      "a=1",
      "--set",
      "b=2",
      "--join-existing",
      "https://c.example:8/x/",
      "--split",
      "train[:10%]",
    ],
  ])!;
  assertEquals(options.exports, ["merged", "gguf"]);
  assertEquals([options.maxSteps, options.workerCount, options.isFresh], [5, 2, true]);
  assertEquals(options.settings, ["a=1", "b=2"]);
  assertEquals([options.coordinatorUrl, options.split], ["https://c.example:8/x", "train[:10%]"]);
  const plan = parsePlanOptions([
    ...JOB,
    "--gpu-gib",
    "24",
    "--price",
    "0.29",
    "--tokens-per-second",
    "1198",
    "--workers",
    "4",
  ])!;
  assertEquals([plan.gpuGib, plan.price, plan.tokensPerSecond, plan.workerCount], [24, 0.29, 1198, 4]);
});

Deno.test("--help is no error, and needs nothing else", () => {
  assertEquals([parseTrainOptions(["--help"]), parsePlanOptions(["-h"])], [null, null]);
});

Deno.test("a wrong value is refused with the option's name", () => {
  for (
    const [args, param] of [
      [["--data", "d", "--out", "o"], "model"],
      [["--model", "m", "--out", "o"], "data"],
      [JOB, "out"],
      [[...JOB, "--out", "o", "--export", "merged,mergd"], "export"],
      [[...JOB, "--out", "o", "--steps", "0"], "steps"],
      [[...JOB, "--out", "o", "--steps", "1.5"], "steps"],
      [[...JOB, "--out", "o", "--workers", "many"], "workers"],
      [[...JOB, "--out", "o", "--join-existing", "localhost"], "join-existing"],
    ] as const
  ) {
    const error = assertThrows(() => parseTrainOptions(args), LoraFleetError);
    assertEquals([error.code, error.param], ["usage", param]);
  }
  assertEquals(
    assertThrows(() => parsePlanOptions([...JOB, "--price=-1"]), LoraFleetError).param,
    "price",
  );
  assertEquals(assertThrows(() => parseTrainOptions(["--modle", "m"]), LoraFleetError).code, "usage");
});
