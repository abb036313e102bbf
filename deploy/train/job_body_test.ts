import { assertEquals, assertRejects } from "@std/assert";
import { LoraFleetError } from "../../shared/errors.ts";
import { evaluationOf, jobBody, mergeBodies } from "./job_body.ts";
import type { JobOptions } from "./options.ts";

const OPTIONS: JobOptions = {
  model: "m",
  data: "d",
  split: null,
  validationPath: null,
  configPath: null,
  settings: [],
  maxSteps: null,
  coordinatorUrl: null,
};

async function withConfig(text: string, body: (configPath: string) => Promise<void>): Promise<void> {
  const configPath = await Deno.makeTempFile();
  try {
    await Deno.writeTextFile(configPath, text);
    await body(configPath);
  } finally {
    await Deno.remove(configPath);
  }
}

Deno.test("defaults, configuration, settings and flags: the later one wins, field by field", () =>
  withConfig(
    "seed: 7\nlora: {r: 64}\ntraining: {learning_rate: 2e-4, max_steps: 9}\n",
    async (configPath) => {
      const settings = ["lora.lora_dropout=0.1", "dataset.packing=false", "training.learning_rate=1e-5"];
      const body = await jobBody(
        { ...OPTIONS, configPath, settings, split: "train[:10%]", maxSteps: 3 },
        "/m",
      );
      assertEquals(body, {
        model: "/m",
        seed: 7,
        lora: { r: 64, lora_alpha: 32, target_modules: "all-linear", lora_dropout: 0.1 },
        training: { save_strategy: "steps", save_steps: 0.1, learning_rate: 1e-5, max_steps: 3 },
        dataset: { packing: false, split: "train[:10%]" },
      });
    },
  ));

Deno.test("numbers with an exponent are numbers, which YAML's text is not", () =>
  withConfig(
    "training: {learning_rate: 2e-4, adam_epsilon: 1E-8}\nlora: {target_modules: [q_proj]}",
    async (configPath) => {
      const { training, lora } = await jobBody({ ...OPTIONS, configPath }, "m");
      assertEquals((training as Record<string, unknown>)["learning_rate"], 2e-4);
      assertEquals((training as Record<string, unknown>)["adam_epsilon"], 1e-8);
      assertEquals((lora as Record<string, unknown>)["target_modules"], ["q_proj"]);
    },
  ));

Deno.test("a JSON configuration is YAML, too, and one call never changes the next one's defaults", async () => {
  await withConfig('{"lora": {"r": 2}}', async (configPath) => {
    await jobBody({ ...OPTIONS, configPath, settings: ["lora.r=99"] }, "m");
  });
  const { lora } = await jobBody(OPTIONS, "m");
  assertEquals((lora as Record<string, unknown>)["r"], 16);
});

Deno.test("the comparison reads the rows, and quantises the base, as the job did", () => {
  assertEquals(evaluationOf({}), { doubleQuantization: true });
  assertEquals(
    evaluationOf({ dataset: { text_field: "body" }, quantization: { bnb_4bit_use_double_quant: false } }),
    { textField: "body", doubleQuantization: false },
  );
});

Deno.test("groups are merged one level deep, everything else is replaced", () => {
  assertEquals(mergeBodies({ a: { x: 1, y: [1] }, b: 1 }, { a: { y: [2] }, b: { z: 1 } }), {
    a: { x: 1, y: [2] },
    b: { z: 1 },
  });
});

Deno.test("what cannot be read is a usage error that quotes it", async () => {
  for (const settings of [["no value"], ["=1"], ["suffix.x=1", "seed.y=2"], ["lora.r.x=[1"]]) {
    const configured = { ...OPTIONS, settings: ["suffix=m", "seed=1", ...settings] };
    const error = await assertRejects(() => jobBody(configured, "m"), LoraFleetError, "--set");
    assertEquals(error.code, "usage");
  }
  await assertRejects(
    () => jobBody({ ...OPTIONS, configPath: "/none.yaml" }, "m"),
    LoraFleetError,
    "/none.yaml",
  );
  for (const text of ["- a\n- b", "text", "a: [1", ""]) {
    await withConfig(text, async (configPath) => {
      await assertRejects(() => jobBody({ ...OPTIONS, configPath }, "m"), LoraFleetError, "--config");
    });
  }
});

Deno.test("a setting that a flag would override is refused with the flag", async () => {
  const cases: [string, Partial<JobOptions>, string][] = [
    ["model=org/other", {}, "comes from --model"],
    ["training_file=file-1", {}, "comes from --data, with a file"],
    ["validation_file=file-1", {}, "comes from --validation"],
    ["dataset.path=org/rows", {}, "comes from --data, with the dataset's id"],
    ["dataset.split=train", { split: "train[:5%]" }, "besides --split train[:5%]"],
    ["dataset.revision=v1", { data: "org/rows@v2" }, "besides --data org/rows@v2"],
    ["training.max_steps=9", { maxSteps: 3 }, "besides --steps 3"],
  ];
  for (const [setting, options, part] of cases) {
    const body = () => jobBody({ ...OPTIONS, ...options, settings: [setting] }, "m");
    const error = await assertRejects(body, LoraFleetError, part);
    assertEquals([error.code, error.param], ["usage", "set"], setting);
  }
  const alone = ["dataset.split=train", "dataset.revision=v1", "training.max_steps=9"];
  const { dataset, training } = await jobBody({ ...OPTIONS, settings: alone }, "m");
  assertEquals(dataset, { split: "train", revision: "v1" });
  assertEquals((training as Record<string, unknown>)["max_steps"], 9);
});

Deno.test("a configuration with another model or with files of its own is refused, one with the same model is not", async () => {
  for (
    const [text, part] of [["model: org/b", '--model is "org/a"'], [
      "training_file: file-1",
      "--data",
    ]] as const
  ) {
    await withConfig(text, async (configPath) => {
      const error = await assertRejects(
        () => jobBody({ ...OPTIONS, model: "org/a", configPath }, "org/a"),
        LoraFleetError,
        part,
      );
      assertEquals([error.code, error.param], ["usage", "config"]);
    });
  }
  await withConfig("model: org/a\nvalidation_file: null", async (configPath) => {
    assertEquals((await jobBody({ ...OPTIONS, model: "org/a", configPath }, "/m"))["model"], "/m");
  });
});
