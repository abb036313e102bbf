import { assertEquals, assertRejects } from "@std/assert";
import { LoraFleetError } from "../../shared/errors.ts";
import { manifestOf, selectModelFiles } from "./files.ts";

const noIndex = () => Promise.reject(new Error("the index was read without need"));

Deno.test("the tokenizer, the config and one set of weights are selected, nothing else", async () => {
  const names = [
    ".gitattributes",
    "README.md",
    "config.json",
    "consolidated.safetensors",
    "generation_config.json",
    "model.safetensors",
    "pytorch_model.bin",
    "tokenizer.json",
    "tokenizer_config.json",
    "training_args.bin",
  ];
  assertEquals(await selectModelFiles(names, noIndex), [
    "config.json",
    "generation_config.json",
    "model.safetensors",
    "tokenizer.json",
    "tokenizer_config.json",
  ]);
});

Deno.test("the index names the files of the weights", async () => {
  const index = JSON.stringify({
    weight_map: { a: "x-1.safetensors", b: "x-2.safetensors", c: "x-1.safetensors" },
  });
  const names = [
    "config.json",
    "model.safetensors.index.json",
    "x-1.safetensors",
    "x-2.safetensors",
    "y.safetensors",
  ];
  assertEquals(await selectModelFiles(names, () => Promise.resolve(index)), names.slice(0, 4));
});

Deno.test("a single file of weights takes precedence over an index, as on the workers", async () => {
  const names = ["config.json", "model.safetensors", "model.safetensors.index.json", "x-1.safetensors"];
  assertEquals(await selectModelFiles(names, noIndex), names.slice(0, 3));
});

Deno.test("a missing file is named", async () => {
  const broken: [string[], string, string][] = [
    [["model.safetensors"], "{}", "config.json"],
    [["config.json", "adapter_model.safetensors", "weights.safetensors"], "{}", '"model.safetensors", or'],
    [["config.json", "model.safetensors.index.json"], "{", "no weight_map"],
    [
      ["config.json", "model.safetensors.index.json"],
      '{"weight_map":{"a":"gone.safetensors"}}',
      "gone.safetensors",
    ],
    [
      ["config.json", "model.safetensors.index.json"],
      '{"weight_map":{"a":"../config.json"}}',
      "../config.json",
    ],
  ];
  for (const [names, index, message] of broken) {
    const error = await assertRejects(
      () => selectModelFiles(names, () => Promise.resolve(index)),
      LoraFleetError,
      message,
    );
    assertEquals(error.code, "invalid_model");
  }
});

Deno.test("the manifest's hash is that of sha256sum's sorted lines", () => {
  // printf '%s  b\n%s  a\n' 00… 11… | sha256sum
  const files = [
    { name: "a", size: 1, sha256: "1".repeat(64) },
    { name: "b", size: 2, sha256: "0".repeat(64) },
  ];
  assertEquals(manifestOf(files), {
    hash: "5d7af0615bd820e7840ddd13729b9a92a8b8bae8e4abc0fffc26bf2e7a35c252",
    files,
  });
});
