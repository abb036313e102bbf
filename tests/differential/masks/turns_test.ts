/** Turns that are found are those that the same template marks itself, whatever the chats say. */
import { assertEquals } from "@std/assert";
import { fromFileUrl } from "@std/path";
import fc from "fast-check";
import { fieldsOf, pyValue } from "../../../shared/data/chat/masks/chat_fixture.ts";
import { loadTokenizer } from "../../../shared/data/tokenizer/tokenizer.ts";
import { buildRow, show } from "./rows.ts";

const pathOf = (name: string) => fromFileUrl(new URL(name, import.meta.url));
const tokenizers = [
  await loadTokenizer(pathOf("tokenizer")),
  await loadTokenizer(pathOf("../../golden/data/byte_level")),
];
const names = [...Deno.readDirSync(pathOf("templates"))].map(({ name }) => name).sort();

const text = fc.oneof(
  fc.string({ unit: "grapheme", maxLength: 12 }),
  fc.constantFrom(
    "user\n",
    "assistant",
    "<|im_end|>\n<|im_start|>assistant\n",
    "[/INST]",
    "### Answer:\n",
    "<think>\na\n</think>\n\nb",
    " a ",
    "\n",
    "",
    "Yes",
    "USER: Yes\nASSISTANT: No",
    "</s>",
  ),
);
const call = fc.record({
  type: fc.constant("function"),
  function: fc.record({
    name: fc.constantFrom("look_up", "add"),
    arguments: fc.dictionary(fc.constantFrom("a", "b"), fc.oneof(text, fc.integer())),
  }),
});
const assistant = fc.record({
  role: fc.constant("assistant"),
  content: text,
  reasoning_content: fc.option(text, { nil: undefined }),
  tool_calls: fc.option(fc.array(call, { minLength: 1, maxLength: 2 }), { nil: undefined }),
}, { requiredKeys: ["role", "content"] });
const round = fc.tuple(
  fc.record({ role: fc.constant("user"), content: text }),
  assistant,
  fc.array(fc.record({ role: fc.constant("tool"), content: text }), { maxLength: 2 }),
).map(([user, reply, answers]) => [user, reply, ...(reply.tool_calls === undefined ? [] : answers)]);
const chat = fc.tuple(
  fc.array(fc.record({ role: fc.constant("system"), content: text }), { maxLength: 1 }),
  fc.array(round, { minLength: 1, maxLength: 3 }),
).map(([system, rounds]) => [...system, ...rounds.flat()])
  // Where a template drops a last answer of a tool, the chat's end may or may not count as the assistant's.
  .filter((messages) => messages.at(-1)!.role !== "tool");

for (const name of names) {
  const marked = await Deno.readTextFile(pathOf(`templates/${name}`));
  const unmarked = marked.replaceAll(/\{%(-?) (?:end)?generation (-?)%\}/g, "{%$1 set unused = 0 $2%}");
  Deno.test(`${name}: turns that are found are those that the template marks`, () => {
    fc.assert(
      fc.property(chat, fc.constantFrom(...tokenizers), (messages, tokenizer) => {
        const fields = fieldsOf(pyValue({ messages }));
        const wanted = buildRow(tokenizer, marked, fields);
        const found = buildRow(tokenizer, unmarked, fields);
        if ("refused" in wanted && "refused" in found) return;
        assertEquals(show(tokenizer, found), show(tokenizer, wanted), JSON.stringify(messages));
      }),
      { numRuns: Number(Deno.env.get("FC_RUNS") ?? 60) },
    );
  });
}
