import { assert, assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { LoraFleetError } from "../../shared/errors.ts";
import libraryFields from "./library_fields.json" with { type: "json" };
import { FIELD_RULES, GROUPS, VALUE_ALIASES } from "./fields.ts";
import { parseJobRequest } from "./parse.ts";
import {
  datasetSchema,
  fleetSchema,
  loraSchema,
  quantizationSchema,
  trainingSchema,
} from "../../shared/job/job_spec_schema.ts";

const MINIMAL = { model: "org/llama", training_file: "file-1" };
const SHAPES = {
  lora: loraSchema,
  quantization: quantizationSchema,
  training: trainingSchema,
  dataset: datasetSchema,
  fleet: fleetSchema,
};
const fieldsOf = (group: keyof typeof SHAPES) => Object.keys(SHAPES[group].shape);
const PATHS = ["seed", ...GROUPS.flatMap((group) => fieldsOf(group).map((field) => `${group}.${field}`))];

Deno.test("aliases lead to fields of the spec, and no rule shadows a field", () => {
  for (const group of GROUPS) {
    for (const [field, rule] of Object.entries(FIELD_RULES[group])) {
      assertEquals(fieldsOf(group).includes(field), false, `${group}.${field}`);
      if (rule.kind === "alias" || rule.kind === "translated") {
        assertEquals(PATHS.includes(rule.to), true, rule.to);
      }
    }
  }
  for (const [path, values] of Object.entries(VALUE_ALIASES)) {
    const [group, field] = path.split(".") as [string, string];
    for (const [written, meant] of Object.entries(values)) {
      const parsed: unknown = parseJobRequest({ ...MINIMAL, [group]: { [field]: written } }).spec;
      assertEquals(
        JSON.stringify(parsed).includes(`"${field}":${JSON.stringify(meant)}`),
        true,
        `${path} ${written}`,
      );
    }
  }
});

/** Warnings about one field, or the refusal. */
function outcomeOf(group: string, field: string, value: unknown): readonly string[] | LoraFleetError {
  try {
    return parseJobRequest({ ...MINIMAL, [group]: { [field]: value } }).warnings;
  } catch (thrown) {
    assert(thrown instanceof LoraFleetError, `${group}.${field}: ${thrown}`);
    return thrown;
  }
}

Deno.test("every value that a rule allows is accepted, silently unless the rule has a note", () => {
  for (const group of GROUPS) {
    for (const [field, rule] of Object.entries(FIELD_RULES[group])) {
      assertEquals(outcomeOf(group, field, null), [], field);
      if (rule.kind === "only") {
        for (const value of rule.values) assertEquals(outcomeOf(group, field, value), [], field);
      }
      if (rule.kind === "translated") {
        for (const value of Object.keys(rule.values)) assertEquals(outcomeOf(group, field, value), [], field);
      }
      if (rule.kind === "unused") {
        for (const value of rule.quiet) assertEquals(outcomeOf(group, field, value), [], field);
        const [warning, ...others] = outcomeOf(group, field, "anything") as readonly string[];
        assertEquals(others, []);
        assertStringIncludes(warning!, `${group}.${field}`);
        assertStringIncludes(warning!, rule.isExplained ? rule.why : "Without effect here");
      }
    }
  }
});

/** Library defaults for training that lorafleet does not do; refused like any other such value. */
const OTHER_DEFAULTS: readonly string[] = ["load_in_4bit", "bnb_4bit_quant_type"];

Deno.test("every field of LoraConfig, BitsAndBytesConfig, TrainingArguments, SFTConfig and get_peft_model is known", () => {
  let count = 0;
  for (const [name, { group, fields }] of Object.entries(libraryFields)) {
    for (const [field, standard] of Object.entries<unknown>(fields)) {
      count++;
      const at = `${name}: ${field}`;
      assertEquals(outcomeOf(group, field, null), [], at);
      const outcome = outcomeOf(group, field, standard);
      if (OTHER_DEFAULTS.includes(field)) assert(outcome instanceof LoraFleetError, at);
      else if (field === "optim") assertStringIncludes((outcome as string[])[0]!, "adamw_torch");
      else assertEquals(outcome, [], at);

      // Any other value is done, noted, or refused by the field's name.
      for (const value of OTHER_VALUES) {
        const other = outcomeOf(group, field, value);
        if (!(other instanceof LoraFleetError)) continue;
        // A field that is an object of fields names the inner one.
        const [param, inner] = [`${group}.${field}`, other.param!.slice(`${group}.${field}.`.length)];
        assertEquals([other.code, other.param], [
          "invalid_request",
          inner === "" ? param : `${param}.${inner}`,
        ], at);
        assertStringIncludes(other.message, field);
        if (inner !== "") continue;
        for (const part of ["unknown field", "did you mean"]) {
          assert(!other.message.includes(part), other.message);
        }
      }
    }
  }
  assert(count > 180, `${count}`);
});

const OTHER_VALUES = [true, false, 0, 3, 0.25, "something", [], ["q_proj"], {}, { rho: 2 }];

Deno.test("a whole configuration of each class is accepted, and one warning lists the fields without effect", () => {
  for (const [name, { group, fields }] of Object.entries(libraryFields)) {
    const whole = Object.fromEntries(
      Object.entries<unknown>(fields).filter(([field]) => !OTHER_DEFAULTS.includes(field)),
    );
    const { warnings } = parseJobRequest({ ...MINIMAL, [group]: whole });
    assertEquals(warnings.filter((warning) => !warning.startsWith("training.optim")), [], name);
  }
  const noted = parseJobRequest({
    ...MINIMAL,
    training: { output_dir: "out", label_names: ["labels"], eval_accumulation_steps: 4, learning_rate: 1e-4 },
  });
  assertEquals(noted.warnings, [
    "Without effect here: training.output_dir, training.label_names, training.eval_accumulation_steps.",
  ]);
});

Deno.test("enum members as Python prints them are parsed", () => {
  const { spec } = parseJobRequest({
    ...MINIMAL,
    lora: { task_type: "TaskType.CAUSAL_LM", peft_type: "PeftType.LORA" },
    training: {
      save_strategy: "IntervalStrategy.STEPS",
      lr_scheduler_type: "SchedulerType.CONSTANT_WITH_WARMUP",
      optim: "OptimizerNames.PAGED_ADAMW",
      eval_strategy: "IntervalStrategy.NO",
      hub_token: "<HUB_TOKEN>",
      train_sampling_strategy: "sequential",
    },
  });
  const { save_strategy, lr_scheduler_type, optim } = spec.training;
  assertEquals([save_strategy, lr_scheduler_type, optim], [
    "steps",
    "constant_with_warmup",
    "paged_adamw_32bit",
  ]);
  assertEquals([spec.lora.task_type, spec.dataset.shuffle], ["CAUSAL_LM", false]);
});

Deno.test("None and enum members are parsed as to_dict, to_sanitized_dict and repr write them", () => {
  const { spec, warnings } = parseJobRequest({
    ...MINIMAL,
    training: {
      // to_dict hides the value of any field named …_token, even None.
      ...{ hub_token: "<HUB_TOKEN>", push_to_hub_token: "<PUSH_TO_HUB_TOKEN>" },
      ...{ eos_token: "<EOS_TOKEN>", pad_token: "<PAD_TOKEN>" },
      ...{ lr_scheduler_kwargs: "None", data_seed: "None", max_length: "None" },
      ...{
        eval_strategy: "<IntervalStrategy.NO: 'no'>",
        lr_scheduler_type: "<SchedulerType.LINEAR: 'linear'>",
      },
      accelerator_config: {
        ...{ split_batches: false, dispatch_batches: null, even_batches: true, use_seedable_sampler: true },
        ...{ non_blocking: false, gradient_accumulation_kwargs: null },
      },
    },
    lora: { modules_to_save: "None", merge_weights: false },
  });
  assertEquals(warnings, []);
  assertEquals([spec.training.lr_scheduler_type, spec.dataset.max_seq_length], ["linear", 1024]);
  const named = outcomeOf("training", "eos_token", "<|im_end|>");
  assert(named instanceof LoraFleetError && named.message.includes("<|im_end|>"));
});

Deno.test("warmup_steps 0 without a ratio is no warm-up, as in transformers; our default ratio needs both left out", () => {
  const ratio = (training: object) => parseJobRequest({ ...MINIMAL, training }).spec.training.warmup_ratio;
  assertEquals(ratio({ warmup_steps: 0 }), 0);
  assertEquals(ratio({ warmup_steps: 0, warmup_ratio: 0.1 }), 0.1);
  assertEquals(ratio({ warmup_steps: null }), 0.03);
  assertEquals(ratio({}), 0.03);
});

Deno.test("only a name close to a known one gets a hint", () => {
  const hint = (group: string, field: string) =>
    (outcomeOf(group, field, 1) as LoraFleetError).message.split("did you mean ")[1];
  assertEquals(hint("training", "learnin_rate"), '"training.learning_rate"?');
  assertEquals(hint("lora", "target_module"), '"lora.target_modules"?');
  assertEquals(hint("training", "lora_alpha"), '"lora.lora_alpha"?');
  const named = (name: string) =>
    assertThrows(() => parseJobRequest({ ...MINIMAL, [name]: {} }), LoraFleetError).message;
  assertStringIncludes(named("peft_config"), 'did you mean "lora"?');
  assertStringIncludes(named("quantization_config"), 'did you mean "quantization"?');
  assertStringIncludes(named("training_args"), 'did you mean "training"?');
  for (const field of ["tokenizer", "backbone", "mesh"]) {
    assertEquals(hint("training", field), undefined, field);
  }
});

Deno.test("llm_int8_skip_modules may name modules that a text model lacks, but not its layers", () => {
  const outcome = (modules: string[]) => outcomeOf("quantization", "llm_int8_skip_modules", modules);
  assertEquals(outcome(["lm_head", "multi_modal_projector", "merger", "vision_tower"]), []);
  for (
    const modules of [["visual"], ["lm_head", "model"], ["lm_head", "proj"], ["lm_head", "o_proj"], [
      "lm_head",
      ".*",
    ]]
  ) {
    assert(outcome(modules) instanceof LoraFleetError, modules.join());
  }
});

Deno.test("a token is refused without being quoted", () => {
  for (const [group, field] of [["training", "hub_token"], ["quantization", "token"]] as const) {
    const refused = outcomeOf(group, field, "hf_secret") as LoraFleetError;
    assertEquals([refused.param, refused.message.includes("hf_secret")], [`${group}.${field}`, false]);
  }
});

Deno.test("a different quant_method is refused as such, not for a field that only it has", () => {
  const refused = assertThrows(
    () => parseJobRequest({ ...MINIMAL, quantization: { bits: 4, group_size: 128, quant_method: "gptq" } }),
    LoraFleetError,
  );
  assertEquals(refused.param, "quantization.quant_method");
});

Deno.test("SFTConfig's two masks are two fields: one for completions, one for chats", () => {
  const lossOf = (training: object) => {
    const { completion_only_loss, assistant_only_loss } =
      parseJobRequest({ ...MINIMAL, training }).spec.dataset;
    return [completion_only_loss, assistant_only_loss];
  };
  assertEquals(lossOf({ assistant_only_loss: false, completion_only_loss: null }), [true, false]);
  assertEquals(lossOf({ completion_only_loss: false, assistant_only_loss: true }), [false, true]);
  assertEquals(lossOf({}), [true, undefined]);
});

Deno.test("a start of the adapter is gaussian, PiSSA's, or PEFT's usual one; others are refused with why and what to do", () => {
  const lora = (init_lora_weights: unknown) =>
    parseJobRequest({ ...MINIMAL, lora: { init_lora_weights } }).spec.lora;
  assertEquals(lora("Gaussian").init_lora_weights, "gaussian");
  assertEquals([Object.hasOwn(lora(true), "init_lora_weights"), lora(null)], [false, lora(true)]);
  for (const pissa of ["pissa", "pissa_niter_0", "pissa_niter_16"]) {
    assertEquals(lora(pissa).init_lora_weights, pissa);
  }
  for (const value of ["PiSSA", "pissa_niter_", "pissa_niter_100", "pissa_niter_4.5", "pissa_niter_-1"]) {
    const { param, message } = assertThrows(() => lora(value), LoraFleetError);
    assertEquals(param, "lora.init_lora_weights");
    assertStringIncludes(
      message,
      `is ${JSON.stringify(value)}, but PiSSA is "pissa", or "pissa_niter_" and a number`,
    );
  }
  for (
    const [value, why] of [
      ["loftq", "changes the base model's weights"],
      ["olora", "changes the base model's weights"],
      ["eva", "reads activations"],
      ["orthogonal", "not one of the starts"],
      ["true", "not one of the starts"],
      [false, "lora_B is not zero"],
    ] as const
  ) {
    const { param, message } = assertThrows(() => lora(value), LoraFleetError);
    assertEquals(param, "lora.init_lora_weights");
    assertStringIncludes(message, `lora.init_lora_weights is ${JSON.stringify(value)}, w`);
    assertStringIncludes(message, why);
    assertStringIncludes(message, "true");
  }
  const dora = assertThrows(() => parseJobRequest({ ...MINIMAL, lora: { use_dora: true } }), LoraFleetError);
  assertStringIncludes(dora.message, "only plain LoRA (and rsLoRA) adapters are trained");
  assertStringIncludes(dora.message, "lora.use_rslora");
});

for (const field of ["weight_field", "message_weight_field"] as const) {
  Deno.test(`${field} and a stream of tokens that is cut anywhere do not go together`, () => {
    const dataset = { [field]: "weight", packing_strategy: "wrapped" };
    const { param, message } = assertThrows(() => parseJobRequest({ ...MINIMAL, dataset }), LoraFleetError);
    assertEquals(param, `dataset.${field}`);
    assertStringIncludes(message, 'set it to "bfd"');
    const { spec } = parseJobRequest({ ...MINIMAL, dataset: { ...dataset, packing: false } });
    assertEquals(spec.dataset[field], "weight");
  });
}
