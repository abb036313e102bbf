/** What users get wrong, one row each: what is sent or damaged, when it is noticed, and what is said about it. */
import { openSafetensors } from "../../worker/files/safetensors.ts";
import { type TensorData, writeSafetensors } from "../../worker/files/safetensors_write.ts";

export interface BadInput {
  readonly name: string;
  /** Fields of the job's body, over those of a good one; a text is the whole body. */
  readonly job?: object | string;
  /** The training file. */
  readonly dataset?: string;
  /** Changes a copy of the demo's base model. */
  readonly damage?: (folder: string) => Promise<void>;
  /** The status of the answer to the job's creation; 200 where the job fails when its data is prepared. */
  readonly status: 200 | 400 | 404;
  readonly code: string;
  readonly param: string | null;
  /** Each of them is in the message. */
  readonly says: readonly string[];
}

const row = (prompt: string, completion: string) => JSON.stringify({ prompt, completion });
export const GOOD_DATASET = [row("mint", " m i n t"), row("otter", " o t t e r"), row("lamp", " l a m p")]
  .join("\n");

async function editJson(path: string, change: (json: Record<string, unknown>) => void): Promise<void> {
  const json = JSON.parse(await Deno.readTextFile(path));
  change(json);
  await Deno.writeTextFile(path, JSON.stringify(json));
}

const config = (changes: object) => (folder: string) =>
  editJson(`${folder}/config.json`, (json) => Object.assign(json, changes));

/** Changes the bytes of the weights. */
const bytes = (change: (bytes: Uint8Array<ArrayBuffer>) => Uint8Array) => async (folder: string) => {
  const path = `${folder}/model.safetensors`;
  await Deno.writeFile(path, change(await Deno.readFile(path)));
};

/** Rewrites the weights soundly, without a tensor or with another one in its place. */
const tensor =
  (name: string, change: (tensor: TensorData) => TensorData | null) => async (folder: string) => {
    const path = `${folder}/model.safetensors`;
    const file = openSafetensors(path);
    const tensors = [...file.tensors.values()].flatMap(({ name: stored, dtype, shape }) => {
      const kept = { name: stored, dtype, shape, data: file.read(stored) };
      return stored === name ? change(kept) ?? [] : kept;
    });
    await writeSafetensors(path, tensors);
  };

const DOWN_PROJ = "model.layers.3.mlp.down_proj.weight";

/** Noticed when the job is created. */
const REFUSED: readonly BadInput[] = [
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
    damage: config({ rope_scaling: { rope_type: "longrope", factor: 4 } }),
    ...{ status: 400, code: "invalid_model", param: "model", says: ["rope_scaling.rope_type", '"longrope"'] },
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

/** Noticed when the job's data is prepared: the job fails. */
const FAILED: readonly BadInput[] = [
  {
    name: "a line that does not parse",
    dataset: `${GOOD_DATASET}\n{"prompt": "a", "completion\n${GOOD_DATASET}`,
    ...{ status: 200, code: "invalid_dataset", param: "line 4", says: ["line 4 is not JSON"] },
  },
  {
    name: "a line that is no object",
    dataset: `${GOOD_DATASET}\n["a", "b"]`,
    ...{ status: 200, code: "invalid_dataset", param: "line 4", says: ["line 4", "an object"] },
  },
  {
    name: "a row without the text field",
    dataset: `{"text": "mint"}\n{"content": "otter"}`,
    ...{ status: 200, code: "invalid_dataset", param: "line 2" },
    says: ['line 2 has "content"', '"text"', "dataset.text_field"],
  },
  {
    name: "an empty dataset",
    dataset: "\n\n",
    ...{ status: 200, code: "invalid_dataset", param: "training_file", says: ["the dataset is empty"] },
  },
  {
    name: "a row with no token to train",
    dataset: `${GOOD_DATASET}\n{"text": "m"}`,
    // Without a stop token to predict, one token is all that this row has.
    damage: async (folder) => {
      await editJson(`${folder}/tokenizer_config.json`, (json) => delete json["eos_token"]);
      await editJson(`${folder}/tokenizer.json`, (json) => json["post_processor"] = null);
      await config({ eos_token_id: null })(folder);
    },
    ...{
      status: 200,
      code: "invalid_dataset",
      param: "line 4",
      says: ["line 4 has 1 token,", "it trains nothing"],
    },
  },
  {
    name: "a row that has no token to train once it is cut",
    job: { dataset: { max_seq_length: 4, truncation: "truncate" } },
    dataset: row("mint otter lamp", " x"),
    ...{ status: 200, code: "invalid_dataset", param: "line 1" },
    says: ["line 1 has", "none of its first 4 (dataset.max_seq_length) is trained"],
  },
  {
    name: "rows that are too long",
    job: { dataset: { max_seq_length: 4 } },
    ...{
      status: 200,
      code: "invalid_dataset",
      param: "dataset.max_seq_length",
      says: ["3 of 3 rows are longer"],
    },
  },
  {
    name: "a slice of the dataset that is empty",
    job: { dataset: { split: "train[5:9]" } },
    ...{ status: 200, code: "invalid_dataset", param: "dataset.split", says: ["train[5:9]"] },
  },
  {
    name: "a row with a token beyond the base model's vocabulary",
    job: { dataset: { split_special_tokens: false } },
    dataset: `${GOOD_DATASET}\n${row("mint", " m<new>")}`,
    damage: (folder) =>
      editJson(`${folder}/tokenizer.json`, (json) => {
        json["added_tokens"] = [...json["added_tokens"] as object[], {
          id: 899,
          content: "<new>",
          special: true,
        }];
      }),
    ...{ status: 200, code: "invalid_dataset", param: "line 4" },
    says: ['"<new>" has the id 899', "vocab_size is 899"],
  },
  {
    name: "a base model without a tokenizer",
    damage: (folder) => Deno.remove(`${folder}/tokenizer.json`),
    ...{ status: 200, code: "invalid_model", param: "model", says: ["tokenizer.json"] },
  },
];

export const BAD_INPUTS: readonly BadInput[] = [...REFUSED, ...FAILED];
