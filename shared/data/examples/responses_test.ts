import { assert, assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { z } from "zod";
import { goldenPath, readGolden } from "../../../tests/golden/data_goldens.ts";
import { LoraFleetError } from "../../errors.ts";
import { datasetSchema } from "../../job/job_spec_schema.ts";
import { loadTokenizer } from "../tokenizer/tokenizer.ts";
import { createExampleBuilder } from "./examples.ts";
import { responsesIn } from "./responses.ts";

const mask = z.array(z.number()).nullable();
const golden = await readGolden(
  "data/responses.json",
  z.array(z.object({
    ...{ tokenizer: z.enum(["byte_level", "byte_fallback"]), text: z.string(), response: z.string() },
    ...{
      instruction: z.string().nullable(),
      ids: z.array(z.number()),
      offsets: mask,
      trains_end: z.boolean(),
    },
    ...{ trl: mask, unsloth: mask },
  })),
);
const tokenizers = {
  byte_level: await loadTokenizer(goldenPath("data/byte_level")),
  byte_fallback: await loadTokenizer(goldenPath("data/byte_fallback")),
};

function builderOf(name: keyof typeof tokenizers, dataset: Record<string, unknown>) {
  return createExampleBuilder(tokenizers[name], datasetSchema.parse(dataset));
}

for (const [index, example] of golden.entries()) {
  const { tokenizer, text, response, instruction, ids, offsets, trains_end } = example;
  Deno.test(`responses of ${JSON.stringify(text.slice(0, 24))} after ${JSON.stringify(response)}: ${tokenizer}, ${index}`, () => {
    const builder = builderOf(tokenizer, {
      response_template: response,
      ...instruction === null ? {} : { instruction_template: instruction },
    });
    const build = () => builder.build({ line: 3, fields: new Map([["text", text]]) });
    if (offsets === null) {
      const error = assertThrows(build, LoraFleetError);
      assertEquals([error.code, error.param], ["invalid_dataset", "line 3"]);
      assertStringIncludes(error.message, "line 3 does not contain dataset.response_template");
      return;
    }
    const { tokens, completionMask } = build();
    // <s> before and </s> after.
    assertEquals([...tokens.slice(1, -1)], ids);
    assertEquals([...completionMask], [0, ...offsets, trains_end ? 1 : 0]);
  });
}

Deno.test("where TRL's and Unsloth's collators find the templates' tokens, they train the same tokens", () => {
  const found = (rule: "trl" | "unsloth") => golden.filter((example) => example[rule] !== null);
  for (const rule of ["trl", "unsloth"] as const) {
    const same = found(rule).filter((example) => example[rule]!.join() === example.offsets!.join());
    assert(same.length >= 10, `${rule}: ${same.length}`);
    // A template follows a space or a line break, with which its first character merges: they miss it, and train too much.
    const different = found(rule).filter((example) => !same.includes(example));
    assertEquals(
      different.map(({ tokenizer, text }) => [tokenizer, text]),
      rule === "trl"
        ? [["byte_level", "### Response:one ### Response:two"]]
        : [["byte_fallback", "<bot> 먼저 말해요.\n<usr> 네.\n<bot> 그래요."]],
    );
  }
});

Deno.test("responses go to the next instruction; without an instruction template the last one counts", () => {
  assertEquals(responsesIn("<u>a<b>c<u>d<b>e", "<b>", "<u>"), [[7, 8], [15, 16]]);
  assertEquals(responsesIn("<u>a<b>c<b>d<u>e", "<b>", "<u>"), [[7, 12]]);
  assertEquals(responsesIn("<u>a<b>c<b>d", "<b>", undefined), [[11, 12]]);
  assertEquals(responsesIn("<u>a<b>", "<b>", "<u>"), [[7, 7]]);
  assertEquals(responsesIn("abc", "<b>", "<u>"), []);
});

for (const split_special_tokens of [true, false]) {
  Deno.test(`strings of special tokens do not move the templates: split_special_tokens ${split_special_tokens}`, () => {
    const builder = builderOf("byte_level", {
      ...{ response_template: "[bot]", instruction_template: "[usr]", split_special_tokens },
    });
    const text = "[usr] a</s> \u{1f5fc}</s>\n[bot] b</s> c\n[usr] d [bot]e</s>";
    const { tokens, completionMask } = builder.build({ line: 1, fields: new Map([["text", text]]) });
    const trained = tokens.filter((_, t) => completionMask[t] === 1);
    assertEquals(tokenizers.byte_level.decode(trained), " b</s> c\ne</s>");
  });
}

Deno.test("rows of messages are trained by their chat template, with a warning", () => {
  const chatTemplate = "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}";
  const spec = datasetSchema.parse({ response_template: "[bot]" });
  const builder = createExampleBuilder({ ...tokenizers.byte_level, chatTemplate }, spec);
  const message = (role: string) => new Map([["role", role], ["content", `${role} says`]]);
  builder.build({ line: 1, fields: new Map([["messages", [message("user"), message("assistant")]]]) });
  assertStringIncludes(builder.warnings().join(), "1 of 1 rows hold messages");
});

Deno.test("rows with completions are told that the templates are not theirs, rows to evaluate are not", () => {
  const fields = new Map([["prompt", "<usr> a <bot>"], ["completion", " b"]]);
  const warningsOf = (isEvaluated: boolean) => {
    const spec = { ...datasetSchema.parse({ response_template: "<bot>" }), isEvaluated };
    const builder = createExampleBuilder(tokenizers.byte_level, spec);
    builder.build({ line: 1, fields });
    return builder.warnings().join();
  };
  assertStringIncludes(warningsOf(false), "1 of 1 rows hold a completion");
  assertEquals(warningsOf(true).includes("hold a completion"), false);
});
