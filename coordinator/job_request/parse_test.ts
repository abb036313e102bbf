import { assertEquals, assertMatch, assertStringIncludes, assertThrows } from "@std/assert";
import { LoraFleetError } from "../../shared/errors.ts";
import { parseJobRequest } from "./parse.ts";
import { jobSpecSchema } from "../../shared/job/job_spec_schema.ts";

const MINIMAL = { model: "org/llama", training_file: "file-1" };

function refusal(body: unknown): LoraFleetError {
  const error = assertThrows(() => parseJobRequest(body), LoraFleetError);
  assertEquals(error.code, "invalid_request");
  return error;
}

Deno.test("a model and a training file are enough; the rest has defaults", () => {
  const { spec, suffix, metadata, validationFile, warnings } = parseJobRequest(MINIMAL);
  assertEquals(spec, jobSpecSchema.parse(MINIMAL));
  assertEquals([suffix, metadata, validationFile, warnings], [null, null, null, []]);
  assertEquals(spec.lora.target_modules, ["q_proj", "v_proj"]);
  assertEquals(spec.training.save_strategy, "epoch");
});

Deno.test("a job chooses its gradient codec; the default is exact", () => {
  assertEquals(parseJobRequest(MINIMAL).spec.fleet, {
    ...{ gradient_codec: "exact", local_steps: null, audit_rate: 0, audit_unresolved: "fail" },
  });
  const chosen = parseJobRequest({ ...MINIMAL, fleet: { gradient_codec: "int8" } });
  assertEquals([chosen.spec.fleet.gradient_codec, chosen.warnings], ["int8", []]);
  const unknown = refusal({ ...MINIMAL, fleet: { gradient_codec: "int4" } });
  assertEquals(unknown.param, "fleet.gradient_codec");
  assertStringIncludes(unknown.message, '"int8"');
  assertEquals(refusal({ ...MINIMAL, fleet: { codec: "int8" } }).param, "fleet.codec");
});

Deno.test("a job chooses local steps; their mean is applied as it is unless an outer optimizer is named", () => {
  const chosen = (local_steps: unknown) =>
    parseJobRequest({ ...MINIMAL, fleet: { local_steps } }).spec.fleet.local_steps;
  const usual = { inner_steps: 25, replicas: 4, outer_learning_rate: 1, outer_momentum: 0 };
  assertEquals([chosen(null), chosen({})], [null, usual]);
  assertEquals(chosen({ inner_steps: 50, replicas: 8 }), { ...usual, inner_steps: 50, replicas: 8 });
  assertEquals(chosen({ inner_steps: null, replicas: 8 }), { ...usual, replicas: 8 });
  const refused = (local_steps: unknown) => {
    const { param, message } = refusal({ ...MINIMAL, fleet: { local_steps } });
    return [param, message];
  };
  const field = (name: string) => `fleet.local_steps.${name}`;
  for (
    const [name, value, part] of [
      ["inner_steps", 0, "at least 1"],
      ["inner_steps", 1001, "at most 1000"],
      ["inner_steps", 2.5, "a whole number"],
      ["replicas", 0, "at least 1"],
      ["replicas", "4", "a number is needed"],
      ["outer_learning_rate", 0, "above 0"],
      ["outer_momentum", 1, "below 1"],
      ["outer_momentum", -0.1, "at least 0"],
    ] as const
  ) {
    const [param, message] = refused({ [name]: value });
    assertEquals(param, field(name));
    assertStringIncludes(message!, `${field(name)} is ${JSON.stringify(value)}`);
    assertStringIncludes(message!, part);
  }
  assertEquals(refused(8)[0], "fleet.local_steps");
  assertEquals(refused({ inner_step: null })[0], field("inner_step"));
  const [param, message] = refused({ inner_step: 8 });
  assertEquals(param, field("inner_step"));
  assertStringIncludes(message!, 'did you mean "fleet.local_steps.inner_steps"?');
});

Deno.test("the body that OpenAI's clients send, nulls included", () => {
  const { spec, suffix, metadata, warnings, validationFile } = parseJobRequest({
    ...MINIMAL,
    validation_file: null,
    hyperparameters: { n_epochs: "auto", batch_size: "auto", learning_rate_multiplier: "auto" },
    method: {
      type: "supervised",
      supervised: { hyperparameters: { n_epochs: 4, batch_size: 16, learning_rate_multiplier: 0.5 } },
    },
    integrations: null,
    seed: 7,
    suffix: "my-skill",
    metadata: { owner: "me" },
  });
  assertEquals(spec.training.num_train_epochs, 4);
  assertEquals(spec.training.gradient_accumulation_steps, 16);
  assertEquals(spec.training.learning_rate, 1e-4);
  assertEquals([spec.seed, suffix, metadata, validationFile], [7, "my-skill", { owner: "me" }, null]);
  assertEquals(warnings, []);
});

Deno.test("a suffix is any text of up to 64 characters", () => {
  for (const suffix of ["my model", "a:b", "_x", "../x", "Größe 7", "x".repeat(64), "😀".repeat(64)]) {
    assertEquals(parseJobRequest({ ...MINIMAL, suffix }).suffix, suffix);
  }
  assertEquals(parseJobRequest({ ...MINIMAL, suffix: "" }).suffix, null);
});

Deno.test("OpenAI's batch size is the rows of a step: rows of a micro-batch times micro-batches", () => {
  const body = {
    ...MINIMAL,
    training: { per_device_train_batch_size: 4 },
    hyperparameters: { batch_size: 16 },
  };
  assertEquals(parseJobRequest(body).spec.training.gradient_accumulation_steps, 4);
  const error = refusal({ ...body, hyperparameters: { batch_size: 18 } });
  assertEquals(error.param, "hyperparameters.batch_size");
  assertStringIncludes(error.message, "multiple of training.per_device_train_batch_size (4)");
});

Deno.test("the tutorial's values can be pasted", () => {
  const { spec, warnings, tracking } = parseJobRequest({
    model: "org/Llama-2-7b",
    training_file: "file-1",
    lora: { r: 64, lora_alpha: 16, lora_dropout: 0.1, bias: "none", task_type: "CAUSAL_LM" },
    quantization: {
      load_in_4bit: true,
      bnb_4bit_quant_type: "nf4",
      bnb_4bit_compute_dtype: "float16",
      bnb_4bit_use_double_quant: true,
    },
    training: {
      output_dir: "./results",
      num_train_epochs: 3,
      per_device_train_batch_size: 4,
      gradient_accumulation_steps: 2,
      gradient_checkpointing: true,
      optim: "paged_adamw_32bit",
      save_strategy: "epoch",
      save_steps: 0,
      logging_steps: 5,
      learning_rate: 2e-4,
      weight_decay: 0.001,
      fp16: false,
      bf16: false,
      max_grad_norm: 0.3,
      max_steps: -1,
      warmup_ratio: 0.03,
      group_by_length: true,
      lr_scheduler_type: "cosine",
      report_to: "wandb",
      seed: 42,
      max_seq_length: 2048,
      packing: true,
      dataset_text_field: "text",
    },
    dataset: { split: "train[:10%]" },
  });
  assertEquals([spec.lora.r, spec.lora.lora_alpha, spec.lora.lora_dropout], [64, 16, 0.1]);
  assertEquals(spec.training.weight_decay, 0.001);
  assertEquals([spec.dataset.max_seq_length, spec.dataset.split], [2048, "train[:10%]"]);
  assertEquals([spec.training.save_strategy, spec.training.save_steps, spec.seed], ["epoch", 0, 42]);
  assertEquals(warnings.map((warning) => warning.split(" ")[0]), [
    "training.group_by_length",
    "quantization.bnb_4bit_compute_dtype",
    "Without",
  ]);
  assertEquals(warnings.at(-1), "Without effect here: training.output_dir.");
  assertEquals(tracking?.reportTo, ["wandb"]);
});

Deno.test("valid but absurd numbers are refused with the field, the bound and its reason", () => {
  for (
    const [group, field, value, most] of [
      ["training", "num_train_epochs", 1e9, 10_000],
      ["training", "max_steps", 2 ** 53 - 1, 1_000_000],
      ["training", "gradient_accumulation_steps", 1e9, 16_384],
      ["training", "per_device_train_batch_size", 1e9, 4096],
      ["training", "warmup_steps", 1e9, 1_000_000],
      ["training", "save_steps", 2 ** 53, 1_000_000],
      ["training", "learning_rate", 1e300, 1000],
      ["training", "weight_decay", 1e300, 1000],
      ["dataset", "max_seq_length", 2 ** 40, 2 ** 20],
      ["lora", "r", 1e9, 16_384],
      ["lora", "lora_alpha", 1e300, 1_000_000],
    ] as const
  ) {
    const { param, message } = refusal({ ...MINIMAL, [group]: { [field]: value } });
    assertEquals(param, `${group}.${field}`);
    assertMatch(
      message,
      new RegExp(`^${group}.${field} is ${value.toString().replace("+", "\\+")}; .* at most ${most}: .{20}`),
    );
    // The bound itself is accepted.
    parseJobRequest({ ...MINIMAL, [group]: { [field]: most } });
  }
  const outer = refusal({ ...MINIMAL, fleet: { local_steps: { outer_learning_rate: 1e300 } } });
  assertEquals(outer.param, "fleet.local_steps.outer_learning_rate");
  for (const [field, value] of [["n_epochs", 1e9], ["batch_size", 1e9], ["learning_rate_multiplier", 1e12]]) {
    const { param, message } = refusal({ ...MINIMAL, hyperparameters: { [field!]: value } });
    assertEquals(param, `hyperparameters.${field}`);
    assertStringIncludes(message, `hyperparameters.${field} is ${value}; training.`);
  }
});

Deno.test("null means absent, for any field and for a group", () => {
  const { spec, warnings } = parseJobRequest({
    ...MINIMAL,
    lora: { some_field_of_next_year: null },
    training: { unknown: null, learning_rate: null },
    quantization: null,
    something: null,
  });
  assertEquals([spec, warnings], [parseJobRequest(MINIMAL).spec, []]);
});

Deno.test("save_steps without save_strategy means steps, as in transformers", () => {
  assertEquals(
    parseJobRequest({ ...MINIMAL, training: { save_steps: 25 } }).spec.training.save_strategy,
    "steps",
  );
});

Deno.test("an adapter_config.json of PEFT can be pasted as the lora group", () => {
  const { spec } = parseJobRequest({
    ...MINIMAL,
    lora: {
      peft_type: "LORA",
      task_type: "CAUSAL_LM",
      base_model_name_or_path: "org/llama",
      revision: null,
      inference_mode: true,
      r: 4,
      lora_alpha: 8,
      lora_dropout: 0.05,
      bias: "none",
      target_modules: ["k_proj", "q_proj"],
      exclude_modules: null,
      modules_to_save: null,
      fan_in_fan_out: false,
      use_rslora: false,
      use_dora: false,
      init_lora_weights: true,
      layers_to_transform: null,
      layers_pattern: null,
      rank_pattern: {},
      alpha_pattern: {},
      auto_mapping: null,
      peft_version: "0.21.2",
    },
  });
  assertEquals(spec.lora.target_modules, ["k_proj", "q_proj"]);
});

/** Refused bodies: the change to the minimal one, the field at fault, part of the message. */
const REFUSED: readonly [string, Record<string, unknown>, string, string][] = [
  ["no model", { model: undefined }, "model", "missing"],
  ["model not a text", { model: 5 }, "model", "model is 5; a text is needed"],
  ["rank 0", { lora: { r: 0 } }, "lora.r", "lora.r is 0"],
  ["rank as a fraction", { lora: { r: 2.5 } }, "lora.r", "a whole number is needed"],
  [
    "NaN learning rate",
    { training: { learning_rate: NaN } },
    "training.learning_rate",
    "is NaN; a number is needed",
  ],
  [
    "negative learning rate",
    { training: { learning_rate: -1 } },
    "training.learning_rate",
    "-1; a number of at least 0",
  ],
  ["learning rate as text", { training: { learning_rate: "2e-4" } }, "training.learning_rate", 'is "2e-4"'],
  ["infinite epochs", { training: { num_train_epochs: Infinity } }, "training.num_train_epochs", "Infinity"],
  ["dropout 1", { lora: { lora_dropout: 1 } }, "lora.lora_dropout", "a number below 1"],
  ["no targets", { lora: { target_modules: [] } }, "lora.target_modules", "must not be empty"],
  ["targets that are no list", { lora: { target_modules: 3 } }, "lora.target_modules", "a list"],
  [
    "a pattern that Python refuses",
    { lora: { target_modules: ".*(q_proj|v_proj" } },
    "lora.target_modules",
    "a parenthesis is not closed",
  ],
  [
    "a learning rate in quotes",
    { training: { learning_rate: "2e-4" } },
    "training.learning_rate",
    'is "2e-4"; a number is needed, without quotes: 0.0002',
  ],
  ["a learning rate of 0", { training: { learning_rate: 0 } }, "training.learning_rate", "above 0 is needed"],
  [
    "one step that is all warm-up",
    { training: { max_steps: 1 } },
    "training.warmup_ratio",
    "all with a learning rate of 0",
  ],
  ["DoRA", { lora: { use_dora: true } }, "lora.use_dora", "only plain LoRA"],
  ["fp4", { quantization: { bnb_4bit_quant_type: "fp4" } }, "quantization.bnb_4bit_quant_type", 'only "nf4"'],
  ["16-bit base", { quantization: { load_in_4bit: false } }, "quantization.load_in_4bit", "only true"],
  ["8-bit optimizer", { training: { optim: "paged_adamw_8bit" } }, "training.optim", '"paged_adamw_32bit"'],
  [
    "evaluation",
    { training: { eval_strategy: "steps" } },
    "training.eval_strategy",
    "there are no rows to evaluate",
  ],
  [
    "a fraction above 1 of steps",
    { training: { save_steps: 2.5 } },
    "training.save_steps",
    "whole number of steps",
  ],
  ["a group as a list", { training: [] }, "training", "an object of fields"],
  [
    "a misspelled field",
    { training: { learnin_rate: 1 } },
    "training.learnin_rate",
    '"training.learning_rate"',
  ],
  ["a field outside of its group", { learning_rate: 1 }, "learning_rate", '"training.learning_rate"'],
  ["a misspelled group", { quantisation: {} }, "quantisation", '"quantization"'],
  ["two sources of rows", { dataset: { path: "a/b" } }, "dataset.path", "give one of them"],
  ["a path that is no hub id", { dataset: { path: "rows.csv" } }, "dataset.path", "POST /v1/files"],
  ["a configuration of nothing", { dataset: { name: "en" } }, "dataset.name", "no dataset.path"],
  ["DPO", { method: { type: "dpo" } }, "method.type", 'only "supervised"'],
  [
    "epochs of a text",
    { hyperparameters: { n_epochs: "3" } },
    "hyperparameters.n_epochs",
    '"auto" or a number',
  ],
  ["an unknown hyperparameter", { hyperparameters: { beta: 1 } }, "hyperparameters.beta", "n_epochs"],
  ["an unknown integration", { integrations: [{ type: "mlflow" }] }, "integrations[0].type", 'only "wandb"'],
  ["a seed below 0", { seed: -1 }, "seed", "at least 0"],
  ["a suffix that is too long", { suffix: "x".repeat(65) }, "suffix", "64 characters"],
  ["a suffix with a control character", { suffix: "a\nb" }, "suffix", '"a\\nb"'],
  ["a suffix that is a number", { suffix: 7 }, "suffix", "suffix is 7"],
  [
    "a fraction of OpenAI's epochs",
    { hyperparameters: { n_epochs: 0.5 } },
    "hyperparameters.n_epochs",
    "whole number",
  ],
  ["metadata of numbers", { metadata: { a: 1 } }, "metadata", 'metadata["a"] is 1'],
  [
    "two learning rates",
    {
      training: { learning_rate: 1 },
      hyperparameters: { learning_rate_multiplier: 2 },
    },
    "hyperparameters.learning_rate_multiplier",
    "training.learning_rate is already 1",
  ],
  [
    "a path in place of objects",
    { "fleet.local_steps.replicas": 2 },
    "fleet.local_steps.replicas",
    'write {"fleet": {"local_steps": {"replicas": …}}}',
  ],
  [
    "two lengths",
    { dataset: { max_seq_length: 8 }, training: { max_length: 9 } },
    "training.max_length",
    "already",
  ],
];

for (const [name, change, param, part] of REFUSED) {
  Deno.test(`refused: ${name}`, () => {
    const error = refusal({ ...MINIMAL, ...change });
    // Which of two spellings is blamed depends on the order in the body.
    if (name === "two lengths") assertMatch(error.param ?? "", /max_(seq_)?length$/);
    else assertEquals(error.param, param);
    assertStringIncludes(error.message, part);
  });
}

Deno.test("a body that is not an object is refused", () => {
  for (const body of [null, [], "x", 3, undefined]) {
    assertStringIncludes(refusal(body).message, "JSON object");
  }
});

Deno.test("names on Object.prototype are unknown fields", () => {
  for (const name of ["toString", "__proto__", "constructor"]) {
    assertStringIncludes(refusal(JSON.parse(`{"model":"m","${name}":{}}`)).message, "unknown field");
    refusal(JSON.parse(`{"model":"m","training_file":"f","lora":{"${name}":1}}`));
  }
});

Deno.test("audits are opt-in: a rate from 0 to 1", () => {
  const { spec } = parseJobRequest({ ...MINIMAL, fleet: { audit_rate: 0.05, audit_unresolved: "continue" } });
  assertEquals([spec.fleet.audit_rate, spec.fleet.audit_unresolved], [0.05, "continue"]);
  for (const audit_rate of [-0.1, 1.1, "all"]) {
    const error = refusal({ ...MINIMAL, fleet: { audit_rate } });
    assertEquals([error.code, error.param], ["invalid_request", "fleet.audit_rate"], `${audit_rate}`);
    assertStringIncludes(error.message, JSON.stringify(audit_rate));
  }
  assertEquals(
    refusal({ ...MINIMAL, fleet: { audit_unresolved: "ignore" } }).param,
    "fleet.audit_unresolved",
  );
  assertStringIncludes(refusal({ ...MINIMAL, fleet: { auditrate: 1 } }).message, "fleet.audit_rate");
});

Deno.test("a number beyond the exact integers is refused with the field's own bound", () => {
  for (const steps of [2 ** 53, 2 ** 53 - 1, 1e300]) {
    const { param, message } = refusal({ ...MINIMAL, training: { max_steps: steps } });
    assertEquals(param, "training.max_steps");
    assertStringIncludes(
      message,
      `training.max_steps is ${steps}; training.max_steps may be at most 1000000`,
    );
  }
});
