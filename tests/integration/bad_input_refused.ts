import { type BadInput, bytes, config, tensor } from "./bad_input.ts";

const DOWN_PROJ = "model.layers.3.mlp.down_proj.weight";

/** Bad inputs that the job's creation refuses. */
export const REFUSED_INPUTS: readonly BadInput[] = [
  {
    name: "a body that is not JSON",
    job: '{"model": ',
    ...{ status: 400, code: "invalid_request", param: null, says: ["not JSON"] },
  },
  {
    name: "a learning rate of NaN, which JSON does not have",
    job: '{"model": "base", "training_file": "file-1", "training": {"learning_rate": NaN}}',
    ...{ status: 400, code: "invalid_request", param: null, says: ["not JSON", "NaN"] },
  },
  {
    name: "a learning rate that is the text NaN",
    job: { training: { learning_rate: "NaN" } },
    ...{
      status: 400,
      code: "invalid_request",
      param: "training.learning_rate",
      says: ['"NaN"', "a number is needed"],
    },
  },
  {
    name: "a learning rate beyond all numbers",
    job: '{"model": "base", "training_file": "file-1", "training": {"learning_rate": 1e999}}',
    ...{ status: 400, code: "invalid_request", param: "training.learning_rate", says: ["Infinity"] },
  },
  {
    name: "a negative learning rate",
    job: { training: { learning_rate: -1e-4 } },
    ...{
      status: 400,
      code: "invalid_request",
      param: "training.learning_rate",
      says: ["-0.0001", "at least 0"],
    },
  },
  {
    name: "a rank of 0",
    job: { lora: { r: 0 } },
    ...{ status: 400, code: "invalid_request", param: "lora.r", says: ["lora.r is 0", "above 0"] },
  },
  {
    name: "a rank beyond any layer's size",
    job: { lora: { r: 1e9 } },
    ...{ status: 400, code: "invalid_request", param: "lora.r", says: ["1000000000", "at most 16384"] },
  },
  {
    name: "a pattern that matches no module's whole name",
    job: { lora: { target_modules: "self_attn\\.(q_proj|v_proj)" } },
    ...{ status: 400, code: "invalid_request", param: "lora.target_modules" },
    says: ["whole name", '"model.layers.0.self_attn.q_proj"'],
  },
  {
    name: "target modules that match nothing",
    job: { lora: { target_modules: ["query_key_value"] } },
    ...{ status: 400, code: "invalid_request", param: "lora.target_modules" },
    says: ['"query_key_value"', '"q_proj"', '"down_proj"'],
  },
  ...([["inner_steps", 0, "at least 1"], ["replicas", 0, "at least 1"], [
    "outer_momentum",
    1,
    "below 1",
  ]] as const)
    .map(([field, value, needed]): BadInput => ({
      name: `local steps whose ${field} are ${value}`,
      job: { fleet: { local_steps: { [field]: value } } },
      ...{ status: 400, code: "invalid_request", param: `fleet.local_steps.${field}` },
      says: [`fleet.local_steps.${field} is ${value}`, needed],
    })),
  {
    name: "an unknown field in a group",
    job: { lora: { lora_alpah: 8 } },
    ...{
      status: 400,
      code: "invalid_request",
      param: "lora.lora_alpah",
      says: ['"lora.lora_alpah"', "did you mean"],
    },
  },
  {
    name: "an unknown field",
    job: { learning_rate: 1e-4 },
    ...{ status: 400, code: "invalid_request", param: "learning_rate", says: ['"training.learning_rate"'] },
  },
  {
    name: "a training file that was never uploaded",
    job: { training_file: "file-none" },
    ...{
      status: 400,
      code: "invalid_request",
      param: "training_file",
      says: ['"file-none"', "POST /v1/files"],
    },
  },
  {
    name: "an unknown base model",
    job: { model: "meta-llama/none" },
    ...{
      status: 404,
      code: "model_not_found",
      param: "model",
      says: ['"meta-llama/none"', "no such folder"],
    },
  },
  {
    name: "a base model outside of the model roots",
    job: { model: "/etc" },
    ...{
      status: 404,
      code: "model_not_found",
      param: "model",
      says: ['"/etc"', "outside of the model roots"],
    },
  },
  {
    name: "an architecture that is not supported",
    damage: config({ architectures: ["GPT2LMHeadModel"] }),
    ...{ status: 400, code: "invalid_model", param: "model" },
    says: ["architectures is", '"GPT2LMHeadModel"', '"LlamaForCausalLM"'],
  },
  {
    name: "an activation that is not supported",
    damage: config({ hidden_act: "gelu" }),
    ...{ status: 400, code: "invalid_model", param: "model", says: ['hidden_act is "gelu"', '"silu"'] },
  },
  {
    name: "a scaling of RoPE that is not supported",
    damage: config({ rope_scaling: { rope_type: "xpos", factor: 4 } }),
    ...{ status: 400, code: "invalid_model", param: "model", says: ["rope_scaling.rope_type", '"xpos"'] },
  },
  {
    name: "a quantisation that is not supported",
    damage: config({ quantization_config: { quant_method: "gptq" } }),
    ...{ status: 400, code: "invalid_model", param: "model" },
    says: ["quantization_config.quant_method", '"gptq"', "NF4"],
  },
  {
    name: "a config.json that is not JSON",
    damage: (folder) => Deno.writeTextFile(`${folder}/config.json`, '{"architectures": ['),
    ...{ status: 400, code: "invalid_model", param: "model", says: ["config.json"] },
  },
  {
    name: "a base model without weights",
    damage: (folder) => Deno.remove(`${folder}/model.safetensors`),
    ...{ status: 400, code: "invalid_model", param: "model", says: ["no weights", "model.safetensors"] },
  },
  {
    name: "weights that were cut off",
    damage: bytes((file) => file.subarray(0, file.length - 1000)),
    ...{
      status: 400,
      code: "invalid_model",
      param: "model",
      says: ['"model.safetensors"', "it is truncated"],
    },
  },
  {
    name: "weights that were cut off in their header",
    damage: bytes((file) => file.subarray(0, 100)),
    ...{ status: 400, code: "invalid_model", param: "model", says: ["it claims a header of"] },
  },
  {
    name: "a header that claims to be longer than the file",
    damage: bytes((file) => {
      new DataView(file.buffer).setBigUint64(0, 2n ** 63n, true);
      return file;
    }),
    ...{
      status: 400,
      code: "invalid_model",
      param: "model",
      says: ["9223372036854775808", "a header has at most"],
    },
  },
  {
    name: "a header that lies about a shape",
    damage: bytes((file) => {
      // The same length, so that nothing else moves.
      const text = new TextDecoder("latin1").decode(file.subarray(0, 5000)).replace("[899,128]", "[898,128]");
      file.set(Uint8Array.from(text, (letter) => letter.charCodeAt(0)));
      return file;
    }),
    ...{ status: 400, code: "invalid_model", param: "model" },
    says: ["needs 229888", '"model.embed_tokens.weight"'],
  },
  {
    name: "a tensor that is missing",
    damage: tensor(DOWN_PROJ, () => null),
    ...{ status: 400, code: "invalid_model", param: "model", says: [`"${DOWN_PROJ}" is missing`] },
  },
  {
    name: "a tensor of the wrong shape",
    damage: tensor(DOWN_PROJ, (found) => ({ ...found, shape: found.shape.toReversed() })),
    ...{ status: 400, code: "invalid_model", param: "model" },
    says: [`"${DOWN_PROJ}" is [384, 128]`, "[128, 384]"],
  },
];
