/** Fields of a job's data: which columns, rows and texts. */
import { assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { LoraFleetError } from "../../shared/errors.ts";
import { parseJobRequest } from "./parse.ts";

const MINIMAL = { model: "org/llama", training_file: "file-1" };

function refusal(body: unknown): LoraFleetError {
  const error = assertThrows(() => parseJobRequest(body), LoraFleetError);
  assertEquals(error.code, "invalid_request");
  return error;
}

Deno.test("columns are mapped from the forms' names to the file's; the other way round is put right", () => {
  const mapped = (column_mapping: unknown) =>
    parseJobRequest({ ...MINIMAL, dataset: { column_mapping } }).spec.dataset.column_mapping;
  assertEquals(mapped({ prompt: "question", completion: "답", input: null }), {
    prompt: "question",
    completion: "답",
  });
  const error = refusal({ ...MINIMAL, dataset: { column_mapping: { question: "prompt" } } });
  assertEquals(error.param, "dataset.column_mapping.question");
  assertStringIncludes(error.message, 'write {"prompt": "question"}');
  assertStringIncludes(
    error.message,
    "its keys are columns of the forms of rows (text, prompt, completion, messages",
  );
});

Deno.test("a job without the new fields of its data has none of them, so that its hash stays what it was", () => {
  assertEquals(Object.keys(parseJobRequest(MINIMAL).spec.dataset), [
    ...["split", "text_field", "packing", "packing_strategy", "max_seq_length", "completion_only_loss"],
    ...["truncation", "split_special_tokens", "shuffle"],
  ]);
});

Deno.test("templates may have the names of Unsloth, and are refused where they could have no effect", () => {
  const { spec } = parseJobRequest({
    ...MINIMAL,
    dataset: { instruction_part: "<usr>", response_part: "<bot>" },
  });
  assertEquals([spec.dataset.instruction_template, spec.dataset.response_template], ["<usr>", "<bot>"]);
  const refused = (dataset: Record<string, unknown>) => {
    const { param, message } = refusal({ ...MINIMAL, dataset });
    return `${param}: ${message}`;
  };
  assertStringIncludes(refused({ instruction_template: "<usr>" }), "dataset.response_template is not set");
  assertStringIncludes(
    refused({ response_template: "<bot>", completion_only_loss: false }),
    "dataset.completion_only_loss: dataset.response_template",
  );
  assertStringIncludes(refused({ response_template: "a", instruction_template: "a" }), "they have to differ");
  assertStringIncludes(refused({ response_template: "" }), "must not be empty");
});

Deno.test("the text's column is named once: a mapping beside text_field would have no effect", () => {
  const error = refusal({ ...MINIMAL, dataset: { text_field: "body", column_mapping: { text: "content" } } });
  assertEquals(error.param, "dataset.column_mapping");
  assertStringIncludes(error.message, 'takes "text" from "content", but dataset.text_field is "body"');
  const { dataset } = parseJobRequest({
    ...MINIMAL,
    dataset: { text_field: "text", column_mapping: { text: "content" } },
  }).spec;
  assertEquals(dataset.column_mapping, { text: "content" });
});
