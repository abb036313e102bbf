import { assertEquals, assertThrows } from "@std/assert";
import { LoraFleetError } from "../../shared/errors.ts";
import { datasetSchema, trainingSchema } from "../../shared/job/job_spec_schema.ts";
import { jobRequest, parseOptions } from "./options.ts";

Deno.test("without options the demo uses its own model and dataset", () => {
  const options = parseOptions([])!;
  assertEquals(options.workerCount, 2);
  assertEquals(options.maxSteps, 40);
  for (const path of [`${options.modelFolder}/config.json`, options.datasetPath, options.evalDatasetPath!]) {
    assertEquals(Deno.statSync(path).isFile, true);
  }
});

Deno.test("a user's dataset comes with held-out rows or has some set aside", () => {
  const own = parseOptions(["--dataset", "/d.jsonl"])!;
  assertEquals([own.evalDatasetPath, own.maxSteps], [null, null]);
  assertEquals(
    parseOptions(["--dataset", "/d", "--eval-dataset", "/e", "--steps", "7"])!.evalDatasetPath,
    "/e",
  );
  assertThrows(
    () => parseOptions(["--eval-dataset", "/e"]),
    LoraFleetError,
    "--eval-dataset needs --dataset",
  );
});

Deno.test("invalid options are named", () => {
  assertThrows(() => parseOptions(["--workers", "0"]), LoraFleetError, '--workers is "0"');
  assertThrows(() => parseOptions(["--steps", "1.5"]), LoraFleetError, '--steps is "1.5"');
  assertThrows(() => parseOptions(["--wokers", "2"]), LoraFleetError, "--wokers");
  assertThrows(() => parseOptions(["now"]), LoraFleetError, "now");
  assertEquals(parseOptions(["--help"]), null);
});

Deno.test("a user's model is not trained at the tiny model's learning rate", () => {
  const rate = (...args: string[]) =>
    trainingSchema.parse(jobRequest(parseOptions(args)!, "file-1")["training"]).learning_rate;
  assertEquals(rate(), 1e-2);
  assertEquals(rate("--model", "/llama"), 2e-4);
});

Deno.test("rows of a user's dataset are not packed, since few rows would make few steps", () => {
  const isPacked = (...args: string[]) =>
    datasetSchema.parse(jobRequest(parseOptions(args)!, "file-1")["dataset"]).packing;
  assertEquals(isPacked(), true);
  assertEquals(isPacked("--dataset", "/rows.jsonl"), false);
});
