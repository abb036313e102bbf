import { type BadInput, config, editJson, GOOD_DATASET, row } from "./bad_input.ts";

/** Bad inputs on which the job fails when its data is prepared. */
export const FAILING_INPUTS: readonly BadInput[] = [
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
