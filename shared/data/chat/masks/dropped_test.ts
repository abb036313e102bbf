/** What a template leaves out is counted and shown; what it writes in its own way is no loss. */
import { assertEquals, assertStringIncludes } from "@std/assert";
import { goldenPath } from "../../../../tests/golden/data_goldens.ts";
import { datasetSchema } from "../../../job/job_spec_schema.ts";
import { fieldsOf, pyValue } from "./chat_fixture.ts";
import { createExampleBuilder } from "../../examples/examples.ts";
import { loadTokenizer } from "../../tokenizer/tokenizer.ts";

const tokenizer = await loadTokenizer(goldenPath("data/byte_level"));

/** The warnings about what was dropped from rows. */
function drops(chatTemplate: string, ...rows: unknown[]): string[] {
  const builder = createExampleBuilder({ ...tokenizer, chatTemplate }, datasetSchema.parse({}));
  rows.forEach((row, i) => builder.build({ line: i + 1, fields: fieldsOf(pyValue(row)) }));
  return builder.warnings().filter((warning) => warning.includes("drops"));
}

const user = (content: string) => ({ role: "user", content });
const assistant = (content: string, more = {}) => ({ role: "assistant", content, ...more });
const each = (write: string) =>
  `{% for m in messages %}{{ '<' + m.role + '>' }}${write}{{ '</s>' }}{% endfor %}` +
  "{% if add_generation_prompt %}{{ '<assistant>' }}{% endif %}";
const WHOLE = each("{{ m.content }}");
const THOUGHTLESS = each("{{ m.content.split('</think>')[-1] }}");
const THOUGHTS = "<think>\nTwo and two.\n</think>\n\n4";

Deno.test("thoughts before </think> that a template strips: in messages and in a completion", () => {
  const rows = [
    { messages: [user("Hi"), assistant("Ho")] },
    { messages: [user("2+2?"), assistant(THOUGHTS)] },
    { prompt: [user("2+2?")], completion: [assistant(THOUGHTS)] },
  ];
  assertEquals(drops(THOUGHTLESS, ...rows), [
    "The chat template drops the assistant's reasoning in 2 of 3 rows, which are trained without it. The first is line " +
    '2, message 2: "Two and two.".',
  ]);
  assertEquals(drops(WHOLE, ...rows), []);
});

Deno.test("thoughts in a field of their own, under each of its names", () => {
  for (const name of ["reasoning_content", "thinking", "reasoning"]) {
    const [warning] = drops(WHOLE, { messages: [user("2+2?"), assistant("4", { [name]: "Two and two." })] });
    assertStringIncludes(warning!, "the assistant's reasoning in 1 of 1 rows");
    const writing = each(
      "{% if m.reasoning_content %}<think>{{ m.reasoning_content }}</think>{% endif %}{{ m.content }}",
    );
    assertEquals(
      drops(writing, { messages: [user("2+2?"), assistant("4", { [name]: "Two and two." })] }),
      [],
    );
  }
});

Deno.test("thoughts of earlier turns only", () => {
  const last = each("{{ m.content if loop.last else m.content.split('</think>')[-1] }}");
  assertEquals(drops(last, { messages: [user("2+2?"), assistant(THOUGHTS)] }), []);
  assertStringIncludes(
    drops(last, { messages: [user("2+2?"), assistant(THOUGHTS), user("3?"), assistant(THOUGHTS)] }).join(),
    'line 1, message 2: "Two and two."',
  );
});

Deno.test("a system message", () => {
  const none = "{% for m in messages if m.role != 'system' %}{{ m.role + m.content }}{% endfor %}";
  const row = { messages: [{ role: "system", content: "Be brief." }, user("Hi"), assistant("Be brief.")] };
  assertStringIncludes(drops(none, row).join(), "the text of system messages in 1 of 1 rows");
  assertEquals(drops(WHOLE, row), []);
});

const CALL = {
  id: "c",
  type: "function",
  function: { name: "look_up", arguments: { city: "Oslo", days: 3 } },
};
const TOOLS = [{ type: "function", function: { name: "look_up", description: "Looks it up." } }];

Deno.test("calls of tools, their arguments and the tools' descriptions", () => {
  const row = { messages: [user("Hi"), assistant("I do.", { tool_calls: [CALL] })], tools: TOOLS };
  assertEquals(drops(WHOLE, row).map((warning) => /drops (.*?) in/.exec(warning)?.[1]), [
    "the assistant's tool calls",
    "the descriptions of tools",
  ]);
  const names = "{{ tools | tojson }}" +
    each("{{ m.content }}{% for c in m.tool_calls or [] %}{{ c.function.name }}{% endfor %}");
  assertStringIncludes(
    drops(names, row).join(),
    'the assistant\'s tool calls in 1 of 1 rows, which are trained without it. The first is line 1, message 2: "Oslo"',
  );
  const all = names.replace("{{ c.function.name }}", "{{ c.function | tojson(indent=2) }}");
  assertEquals(drops(all, row), []);
  const text = { ...CALL, function: { ...CALL.function, arguments: '{"city":"Oslo", "days":3}' } };
  assertEquals(
    drops(all, { messages: [user("Hi"), assistant("I do.", { tool_calls: [text] })], tools: TOOLS }),
    [],
  );
});

for (
  const [how, write] of [
    ["trims", "{{ m.content | trim }}"],
    ["writes JSON", "{{ m.content | tojson }}"],
    ["escapes beyond ASCII", "{{ m.content | tojson(ensure_ascii=true) }}"],
    ["prints a list", "{{ [m.content] }}"],
    ["indents", "{{ m.content | indent(4) }}"],
    [
      "takes thoughts apart",
      "{% set parts = m.content.split('</think>') %}{{ parts[0].strip() + '\\n</think>\\n' + parts[-1] }}",
    ],
  ] as const
) {
  Deno.test(`a template that ${how} drops nothing`, () => {
    const content = "  <think>\nGröße \"x\"\n</think>\nline 1\n\n line 2 \\ 'y' ";
    assertEquals(drops(each(write), { messages: [user("Hi"), assistant(content)] }), []);
  });
}
