import { assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { goldenPath } from "../../../tests/golden/data_goldens.ts";
import { LoraFleetError } from "../../errors.ts";
import { parseJson } from "../../python/json/parse_json.ts";
import type { PyValue } from "../../python/values/value.ts";
import { contentOf } from "./row_forms.ts";

type Fields = Map<string, PyValue>;
const golden = parseJson(await Deno.readTextFile(goldenPath("data/sharegpt.json"))) as Fields[];

function messagesOf(row: unknown): PyValue {
  const fields = parseJson(JSON.stringify(row)) as Fields;
  const content = contentOf({ line: 3, fields }, "text");
  return content.kind === "chat" ? content.fields.get("messages")! : content.kind;
}

const json = (value: unknown) => parseJson(JSON.stringify(value));

for (const [index, example] of golden.entries()) {
  Deno.test(`conversations become the messages that TRL makes of them: row ${index + 1}`, () => {
    const content = contentOf({ line: 1, fields: example.get("row") as Fields }, "text");
    assertEquals(content.kind === "chat" && content.fields.get("messages"), example.get("messages"));
  });
}

Deno.test("from and value are understood under messages, too, and role and content under conversations", () => {
  const messages = [{ role: "user", content: "a" }, { role: "assistant", content: "b" }];
  const turns = [{ from: "human", value: "a" }, { from: "gpt", value: "b" }];
  for (const row of [{ messages: turns }, { conversations: messages }, { conversations: turns }]) {
    assertEquals(messagesOf(row), json(messages));
  }
});

Deno.test("a system column is the first message, unless the chat has one", () => {
  const turns = [{ from: "human", value: "a" }, { from: "gpt", value: "b" }];
  const [first, ...rest] = messagesOf({ conversations: turns, system: "Be kind." }) as PyValue[];
  assertEquals([first, rest.length], [json({ role: "system", content: "Be kind." }), 2]);
  const own = [{ from: "system", value: "Own." }, ...turns];
  assertEquals((messagesOf({ conversations: own, system: "Be kind." }) as PyValue[]).length, 3);
});

Deno.test("a call is a call, its result the tool's, and further fields stay", () => {
  const call = { name: "weather", arguments: { city: "Seoul" } };
  const row = {
    tools: "[]",
    conversations: [
      { from: "human", value: "Weather?" },
      { from: "function_call", value: JSON.stringify(call), weight: 0 },
      { from: "observation", value: "sunny" },
      { from: "gpt", value: "Sunny." },
    ],
  };
  assertEquals((messagesOf(row) as PyValue[]).slice(1, 3), [
    json({ role: "assistant", tool_calls: [{ type: "function", function: call }], weight: 0 }),
    json({ role: "tool", content: "sunny" }),
  ]);
});

const REFUSED: readonly [string, unknown, string][] = [
  [
    "an unknown speaker",
    [{ from: "alien", value: "a" }],
    'has the speaker "alien" in message 1 of "conversations"; known are human',
  ],
  ["no list", "hi", 'has the "conversations" "hi"; a list of messages with from and value'],
  ["an empty list", [], "a list of messages"],
];
for (const [name, conversations, words] of REFUSED) {
  Deno.test(`refused with its line: ${name}`, () => {
    const error = assertThrows(() => messagesOf({ conversations }), LoraFleetError);
    assertEquals([error.code, error.param], ["invalid_dataset", "line 3"]);
    assertStringIncludes(error.message, words);
  });
}
