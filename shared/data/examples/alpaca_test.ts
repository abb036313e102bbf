import { assertEquals, assertThrows } from "@std/assert";
import { goldenPath } from "../../../tests/golden/data_goldens.ts";
import { LoraFleetError } from "../../errors.ts";
import { datasetSchema } from "../../job/job_spec_schema.ts";
import { fieldsOf, pyValue } from "../chat/masks/chat_fixture.ts";
import { loadTokenizer } from "../tokenizer/tokenizer.ts";
import { createExampleBuilder } from "./examples.ts";
import { contentOf } from "./row_forms.ts";

/** Made by tests/differential/make_alpaca_goldens.py. */
const goldens: readonly { row: Record<string, unknown>; prompt: string; completion: string }[] = JSON.parse(
  await Deno.readTextFile(new URL("./alpaca_goldens.json", import.meta.url)),
);
const contentOfRow = (row: unknown, textField = "text") =>
  contentOf({ line: 3, fields: fieldsOf(pyValue(row)) }, textField);

Deno.test("prompts and completions are those of Stanford's templates", () => {
  for (const { row, prompt, completion } of goldens) {
    assertEquals(contentOfRow(row), { kind: "completion", prompt, completion });
  }
});

Deno.test("only the output is trained, unless completion_only_loss is off", async () => {
  const tokenizer = await loadTokenizer(goldenPath("data/byte_level"));
  const row = { instruction: "Swap the ends.", input: "mint", output: "tinm" };
  const trained = (spec: Record<string, unknown>) => {
    const builder = createExampleBuilder(tokenizer, datasetSchema.parse(spec));
    const { tokens, completionMask } = builder.build({ line: 1, fields: fieldsOf(pyValue(row)) });
    return tokenizer.decode(tokens.filter((_, t) => completionMask[t] === 1));
  };
  assertEquals(trained({}), "tinm</s>");
  assertEquals(trained({ completion_only_loss: false }).endsWith("### Response:tinm</s>"), true);
});

Deno.test("null and missing inputs are empty; fields that are no texts are refused", () => {
  const row = { instruction: "Name a colour.", output: "Red" };
  assertEquals(contentOfRow({ ...row, input: null }), contentOfRow({ ...row, input: "" }));
  for (const field of ["instruction", "input", "output"]) {
    assertThrows(
      () => contentOfRow({ ...row, [field]: 7 }),
      LoraFleetError,
      `line 3 has the "${field}" 7; a text is needed`,
    );
  }
  assertThrows(
    () => contentOfRow({ ...row, input: "\ud83d" }),
    LoraFleetError,
    'half of a surrogate pair in "input"',
  );
});

Deno.test("a row that fits a different form keeps it", () => {
  const row = { instruction: "Name a colour.", input: "", output: "Red" };
  assertEquals(contentOfRow({ ...row, text: "Name a colour. Red" }).kind, "text");
  assertEquals(contentOfRow(row, "output"), { kind: "text", text: "Red" });
  assertEquals(contentOfRow({ ...row, prompt: "a", completion: "b" }), {
    kind: "completion",
    prompt: "a",
    completion: "b",
  });
});
