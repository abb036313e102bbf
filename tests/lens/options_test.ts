import { assertEquals, assertThrows } from "@std/assert";
import { LoraFleetError } from "../../shared/errors.ts";
import { goldenPath } from "../golden/golden.ts";
import { LENS_CARDS, memoryOf } from "./cards.ts";
import { MODEL_NAMES, modelNamed } from "./models.ts";
import { parseLensOptions } from "./options.ts";

const source = await Deno.readTextFile(new URL("main.ts", import.meta.url));

Deno.test("without options: Llama-2-7B with r 64 on an RTX 3090, 2048 tokens, dropout 0.1", () => {
  const options = parseLensOptions([]);
  assertEquals(
    [options.model, options.card.key, options.tokens, options.lora.r, options.lora.lora_dropout],
    ["llama2-7b", "rtx3090", 2048, 64, 0.1],
  );
  assertEquals(options.memoryBytes, memoryOf(options.card));
});

Deno.test("options arrive where they belong", () => {
  const options = parseLensOptions(
    "--model llama3-8b --card h200 --lora-r 16 --tokens 4096 --documents 4 --micro-batches 2 --no-gradient-checkpointing --memory-budget-mib 1024 --target-modules q_proj,v_proj"
      .split(" "),
  );
  assertEquals([options.documents, options.microBatches, options.gradientCheckpointing], [4, 2, false]);
  assertEquals(parseLensOptions(["--memory-budget-mib", "none"]).memoryBytes, null);
  assertEquals([options.lora.target_modules, options.memoryBytes], [["q_proj", "v_proj"], 2 ** 30]);
});

Deno.test("wrong options name themselves, what was given and what is needed", () => {
  for (
    const [args, part] of [
      ["--card rtx9999", '--card is "rtx9999"; one of rtx3090'],
      ["--model gpt-5", '--model is "gpt-5"; smollm2-135m'],
      ["--tokens 0", '--tokens is "0"; a whole number above 0'],
      ["--labels 1.5", "above 0 and at most 1"],
      ["--lora-dropout 1", "from 0 to below 1"],
      ["--documents 9 --tokens 8", "holds at most as many"],
      ["--gradient-checkpointing --no-gradient-checkpointing", "exclude each other"],
      ["--kernels --isa", "--kernels and --isa are different reports"],
      ["--card all --kernels", "--card all and --kernels are different reports"],
      ["--write-shares --json", "prints nothing"],
      ["--memory-budget-mib 1.5", 'a whole number above 0 or "none"'],
      ["--colour red", "--help lists the options"],
    ]
  ) {
    const error = assertThrows(() => parseLensOptions(args!.split(" ")), LoraFleetError, part!);
    assertEquals(error.code, "usage");
  }
});

Deno.test("a folder's config.json is a model; a damaged one is named", async () => {
  const folder = await Deno.makeTempDir();
  try {
    const config = `${folder}/config.json`;
    await Deno.writeTextFile(config, "{oops");
    const error = assertThrows(() => modelNamed(folder), LoraFleetError, `${config} is no JSON`);
    assertEquals(error.code, "invalid_model");
    await Deno.copyFile(`${goldenPath("ladder")}/gqa_tied/model/config.json`, config);
    assertEquals(parseLensOptions(["--model", folder]).spec.tieWordEmbeddings, true);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("the help names every option, model and card", () => {
  const declared = /const OPTIONS = \{([\s\S]*?)\} as const/.exec(
    Deno.readTextFileSync(new URL("options.ts", import.meta.url)),
  )![1]!;
  const names = [...declared.matchAll(/^ {2}"?([a-z-]+)"?:/gm)].map(([, name]) => `--${name}`);
  assertEquals(names.length > 10, true);
  const words = source.slice(0, source.indexOf("*/"));
  for (const name of [...names, ...MODEL_NAMES, ...LENS_CARDS.map(({ key }) => key)]) {
    assertEquals(words.includes(name), true, name);
  }
});

Deno.test("each card has a row in the memory plan's table, each model a size that its name has", () => {
  for (const card of LENS_CARDS) assertEquals(memoryOf(card) > 2 ** 33, true, card.key);
  const billions = (name: string) => {
    const { layerCount, hiddenSize: h, intermediateSize: i, kvHeadCount, headCount, headDim, vocabSize } =
      modelNamed(name);
    const layer = h * headDim * (2 * headCount + 2 * kvHeadCount) + 3 * h * i;
    return (layerCount * layer + vocabSize * h) / 1e9;
  };
  assertEquals(MODEL_NAMES.map((name) => Math.round(billions(name))), [0, 1, 1, 7, 8, 69, 70]);
});
