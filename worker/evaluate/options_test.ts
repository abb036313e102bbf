import { assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { LoraFleetError } from "../../shared/errors.ts";
import { parseEvaluateOptions } from "./options.ts";

const needed = ["--model", "m", "--dataset", "d.jsonl"];

Deno.test("the options' defaults, and all options", () => {
  assertEquals(parseEvaluateOptions(needed), {
    model: "m",
    adapterFolder: null,
    datasetPath: "d.jsonl",
    textField: "text",
    maxNewTokens: 64,
    doubleQuantization: true,
    allowCpu: false,
    ignoreGpu: false,
    fullPrecision: false,
    driftFolder: null,
    sampling: null,
    sideBySide: false,
    resultPath: null,
  });
  const given = ["--adapter", "a", "--text-field", "body", "--max-new-tokens", "0", "--json", "o.json"];
  assertEquals(
    parseEvaluateOptions([...needed, ...given, "--single-quantization", "--allow-cpu", "--ignore-gpu"]),
    {
      model: "m",
      adapterFolder: "a",
      datasetPath: "d.jsonl",
      textField: "body",
      maxNewTokens: 0,
      doubleQuantization: false,
      allowCpu: true,
      ignoreGpu: true,
      fullPrecision: false,
      driftFolder: null,
      sampling: null,
      sideBySide: false,
      resultPath: "o.json",
    },
  );
  assertEquals(parseEvaluateOptions(["-h"]), null);
});

for (
  const [args, words] of [
    [["--dataset", "d"], "--model is missing"],
    [["--model", "", "--dataset", "d"], "--model is missing"],
    [["--model", "m"], "--dataset is missing"],
    [[...needed, "--max-new-tokens", "many"], `"many"`],
    [[...needed, "--max-new-tokens", "-1"], "max-new-tokens"],
    [[...needed, "--max-new-tokens", "99999"], "0 to 32768"],
    [[...needed, "--adaptor", "a"], "--adaptor"],
    [[...needed, "stray"], "stray"],
  ] as const
) {
  Deno.test(`refused: ${args.join(" ")}`, () => {
    const error = assertThrows(() => parseEvaluateOptions(args), LoraFleetError);
    assertEquals(error.code, "usage");
    assertStringIncludes(error.message, words);
  });
}

Deno.test("sampling is off unless there is a temperature, and out-of-range or useless values are refused", () => {
  const parse = (...args: string[]) => parseEvaluateOptions(["--model", "m", "--dataset", "d", ...args]);
  assertEquals(parse()?.sampling, null);
  const sampling = { temperature: 0.7, topP: 0.9, topK: 40, seed: 1 };
  const args = ["--temperature", "0.7", "--top-p", "0.9", "--top-k", "40", "--seed", "1"];
  assertEquals(parse(...args)?.sampling, sampling);
  const refused: readonly (readonly [param: string, args: readonly string[]])[] = [
    ["temperature", ["--temperature", "hot"]],
    ["top-p", ["--temperature", "1", "--top-p", "1.5"]],
    ["top-k", ["--temperature", "1", "--top-k", "2.5"]],
    ["seed", ["--seed", "3"]],
    ["adapter", ["--side-by-side"]],
  ];
  for (const [param, given] of refused) {
    assertEquals(assertThrows(() => parse(...given), LoraFleetError).param, param);
  }
});
