import { assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { z } from "zod";
import { goldenPath, readGolden } from "../../../tests/golden/data_goldens.ts";
import { LoraFleetError } from "../../errors.ts";
import { datasetSchema } from "../../job/job_spec_schema.ts";
import { pyValue } from "../chat/masks/chat_fixture.ts";
import { createExampleBuilder } from "./examples.ts";
import type { PyValue } from "../../python/values/value.ts";
import { loadTokenizer, type Tokenizer } from "../tokenizer/tokenizer.ts";

const golden = await readGolden(
  "data/rows.json",
  z.array(
    z.object({ row: z.record(z.string(), z.string()), ids: z.array(z.number()), mask: z.array(z.number()) }),
  ),
);
const tokenizer = await loadTokenizer(goldenPath("data/byte_level"));
const EOS = tokenizer.eosTokenIds[0]!;
const CHAT: Tokenizer = {
  ...tokenizer,
  chatTemplate:
    "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>' }}{% endfor %}" +
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}",
};

function builderOf(spec: Record<string, unknown> = {}, own: Tokenizer = tokenizer) {
  const builder = createExampleBuilder(own, datasetSchema.parse(spec));
  const row = (fields: Record<string, unknown>, line = 7) =>
    builder.build({ line, fields: pyValue(fields) as Map<string, PyValue> });
  return { ...builder, row };
}

Deno.test("text and prompt with completion: ids and mask are those of TRL", () => {
  for (const split_special_tokens of [true, false]) {
    for (const { row, ids, mask } of golden) {
      // A stop string that is not at the end of the text is plain text, unless asked for.
      if (split_special_tokens && row["text"] === "two </s></s>") continue;
      const { tokens, completionMask } = builderOf({ split_special_tokens }).row(row);
      assertEquals([...tokens], ids, JSON.stringify(row));
      assertEquals([...completionMask], mask, JSON.stringify(row));
    }
  }
});

Deno.test("BOS begins, the stop token ends a text, and both are in the tokens", () => {
  const { tokens, completionMask } = builderOf().row({ text: "hi" });
  assertEquals([tokens[0], tokens.at(-1)], [tokenizer.bosTokenId!, EOS]);
  assertEquals(completionMask.includes(0), false);
});

Deno.test("special strings inside a text stay text and are reported", () => {
  const builder = builderOf();
  const { tokens } = builder.row({ text: "a</s>b" }, 3);
  assertEquals(tokens.filter((token) => token === EOS).length, 1);
  assertStringIncludes(
    builder.warnings().join(),
    "1 of 1 rows (the first is line 3) contain the strings of special tokens",
  );
  const parsing = builderOf({ split_special_tokens: false });
  assertEquals(parsing.row({ text: "a</s>b" }).tokens.filter((token) => token === EOS).length, 2);
  assertEquals(parsing.warnings(), []);
});

Deno.test("the whole row is trained where completion_only_loss is off", () => {
  const { completionMask } = builderOf({ completion_only_loss: false }).row({ prompt: "a", completion: "b" });
  assertEquals(completionMask.includes(0), false);
});

Deno.test("a prompt that merges with its completion is reported", () => {
  const builder = builderOf();
  builder.row({ prompt: "merges i", completion: "nto the completion" });
  builder.row({ prompt: "line\n", completion: "completion" });
  assertStringIncludes(builder.warnings().join(), "1 of 2 prompts end in tokens that merge");
});

Deno.test("chats: the stop token is trained, or the user is warned", () => {
  const messages = [{ role: "user", content: "q" }, { role: "assistant", content: "a" }];
  const untrained = builderOf({}, CHAT);
  untrained.row({ messages });
  assertStringIncludes(untrained.warnings().join(), "1 of 1 rows train no token at which generation stops");
  const end = tokenizer.encode("<|im_end|>", { addSpecialTokens: false, splitSpecialTokens: false });
  const trained = builderOf({}, { ...CHAT, eosTokenIds: [EOS, ...end] });
  trained.row({ messages });
  trained.row({ prompt: messages.slice(0, 1), completion: messages.slice(1) });
  assertEquals(trained.warnings(), []);
});

Deno.test("a tokenizer without a stop token: nothing is appended, and the user is warned", () => {
  const builder = builderOf({}, {
    ...tokenizer,
    eosTokenIds: [],
    specialTokens: { ...tokenizer.specialTokens, eos: null },
  });
  assertEquals(builder.row({ text: "hi" }).tokens.includes(EOS), false);
  assertStringIncludes(builder.warnings().join(), "the tokenizer names no eos_token");
});

const USER = { role: "user", content: "q" };
const ANSWER = { role: "assistant", content: "a b" };
const REFUSED: readonly [string, Record<string, unknown>, string][] = [
  [
    "no known field",
    { question: "x", answer: "y" },
    'has "question" (string), "answer" (string), but neither',
  ],
  ["no field at all", {}, "has no fields"],
  ["a prompt alone", { prompt: "x" }, '"prompt" (string), but neither "prompt" and "completion"'],
  ["a text that is a number", { text: 5 }, 'has the "text" 5; a text is needed'],
  ["nothing but nulls", { text: null, messages: null }, 'has "text" (null), "messages" (null), but neither'],
  ["a completion that is a number", { prompt: "x", completion: 1 }, "two texts or two lists"],
  ["a text with messages", { prompt: "x", completion: [USER] }, "two texts or two lists"],
  ["no messages", { messages: [] }, "a list of messages"],
  ["messages as text", { messages: "x" }, "a list of messages"],
  ["a message that is a text", { messages: ["x"] }, '"x" as message 1'],
  [
    "a message without a role",
    { messages: [USER, { content: "x" }] },
    'no role in message 2 of "messages"',
  ],
  ["a content that is a number", { messages: [{ role: "user", content: 3 }] }, "has the content 3"],
  ["a weight of a half", { messages: [{ ...USER, weight: 0.5 }] }, "has the weight 0.5"],
  [
    "an answer's weight of a half",
    { messages: [USER, { ...ANSWER, weight: 0.5 }] },
    'the weight 0.5 in message 2 of "messages"; 0 or 1 is needed, or the job\'s dataset.message_weight_field set to ',
  ],
  ["a weight that is true", { messages: [USER, { ...ANSWER, weight: true }] }, "has the weight true"],
  ["no assistant", { messages: [USER] }, "no assistant turn to train on"],
];

for (const [name, fields, words] of REFUSED) {
  Deno.test(`refused with its line: ${name}`, () => {
    const error = assertThrows(() => builderOf({}, CHAT).row(fields), LoraFleetError);
    assertEquals([error.code, error.param], ["invalid_dataset", "line 7"]);
    assertStringIncludes(error.message, "line 7 ");
    assertStringIncludes(error.message, words);
  });
}

Deno.test("a row of one token trains nothing: the first is never predicted", () => {
  const bare: Tokenizer = { ...tokenizer, encode: () => [], eosTokenIds: [EOS] };
  assertThrows(() => builderOf({}, bare).row({ text: "" }), LoraFleetError, "line 7 has 1 token,");
});

Deno.test("a template's message about a row names the line", () => {
  const refusing: Tokenizer = { ...tokenizer, chatTemplate: "{{ raise_exception('odd roles') }}" };
  assertThrows(
    () => builderOf({}, refusing).row({ messages: [USER] }),
    LoraFleetError,
    "line 7 cannot be used",
  );
  const error = assertThrows(
    () => builderOf().row({ messages: [USER] }),
    LoraFleetError,
    "has no chat template",
  );
  assertEquals(error.code, "invalid_model");
});

Deno.test("the column that weight_field names weighs a row; CSV's texts are numbers, null and 1 leave no trace", () => {
  const { row, finish } = builderOf({ weight_field: "importance" });
  const weightOf = (importance: unknown) => row({ text: "a b", importance }).weight;
  assertEquals([weightOf(2), weightOf(0.5), weightOf("2.5e0")], [2, 0.5, 2.5]);
  assertEquals([weightOf(1), weightOf(null), weightOf(1.0)], [undefined, undefined, undefined]);
  finish();
  for (const value of [0, -1, "much", true, 1001, [1]]) {
    const { param, message } = assertThrows(() => weightOf(value), LoraFleetError);
    assertEquals(param, "line 7");
    assertStringIncludes(
      message,
      `has the "importance" ${JSON.stringify(value)} (dataset.weight_field); a number above 0`,
    );
  }
  assertStringIncludes(assertThrows(() => weightOf(0), LoraFleetError).message, "leave out a row");
});

Deno.test("a weight_field that no row has is refused, and a column called weight means nothing by itself", () => {
  const { row, finish } = builderOf({ weight_field: "wieght" });
  row({ text: "a b", weight: 2 });
  const { param, message } = assertThrows(finish, LoraFleetError);
  assertEquals(param, "dataset.weight_field");
  assertStringIncludes(message, '"wieght", but no row has that column');
  const plain = builderOf();
  assertEquals(Object.hasOwn(plain.row({ text: "a b", weight: 2 }), "weight"), false);
  plain.finish();
});

Deno.test("message_weight_field weighs an assistant's messages by any number, beside OpenAI's weight or in its place", () => {
  const messages = [USER, { ...ANSWER, weight: 0.5, loss: 2 }, USER, { ...ANSWER, loss: 1 }];
  const spansOf = (field: string, own: readonly unknown[]) =>
    (builderOf({ message_weight_field: field }, CHAT).row({ messages: own }).weightSpans ?? [])
      .map(({ weight }) => weight);
  assertEquals(spansOf("weight", messages), [0.5]);
  assertThrows(() => spansOf("loss", messages), LoraFleetError, "has the weight 0.5");
  const plain = messages.map((message) => ({ ...message, weight: null }));
  assertEquals(spansOf("loss", plain), [2]);
  const off = plain.map((message, at) => ({ ...message, weight: at === 1 ? 0 : 1 }));
  assertEquals(spansOf("loss", off), []);
  const conversations = [{ from: "human", value: "x" }, { from: "gpt", value: "y", loss: 1e-3 }];
  const builder = builderOf({ message_weight_field: "loss" }, CHAT);
  const example = builder.row({ conversations });
  assertEquals(example.weightSpans!.map(({ weight }) => weight), [Math.fround(1e-3)]);
  builder.finish();
});

Deno.test("a message's weight that is no number from 0 to 1000, or not the assistant's, is refused with its place", () => {
  const row = (own: readonly unknown[]) =>
    builderOf({ message_weight_field: "w" }, CHAT).row({ messages: own });
  for (const value of [-1, "2", true, 1001, [1], 1e-60]) {
    const { param, message } = assertThrows(() => row([USER, { ...ANSWER, w: value }]), LoraFleetError);
    assertEquals(param, "line 7");
    const words =
      'in message 2 of "messages" (dataset.message_weight_field); a number from 0 to 1000 is needed';
    assertStringIncludes(message, words);
  }
  const error = assertThrows(() => row([{ ...USER, w: 0.5 }, ANSWER]), LoraFleetError);
  assertStringIncludes(error.message, 'whose role is "user"; only messages of "assistant" have a weight');
  assertThrows(() => row([USER, { ...ANSWER, w: 0 }]), LoraFleetError, "it trains nothing");
});

Deno.test("a message_weight_field that no message has is refused, but not where rows are evaluated", () => {
  const { row, finish } = builderOf({ message_weight_field: "wieght" }, CHAT);
  row({ messages: [USER, { ...ANSWER, weight: 1 }] });
  const { param, message } = assertThrows(finish, LoraFleetError);
  assertEquals(param, "dataset.message_weight_field");
  assertStringIncludes(message, '"wieght", but no message has that key');
  const spec = { ...datasetSchema.parse({ message_weight_field: "wieght" }), isEvaluated: true };
  createExampleBuilder(CHAT, spec).finish();
});
