/** Rows as tables and other libraries write them: nulls, tools, parts, variables, what UTF-8 cannot hold. */
import { assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import fc from "fast-check";
import { goldenPath } from "../../../tests/golden/data_goldens.ts";
import { LoraFleetError } from "../../errors.ts";
import { datasetSchema } from "../../job/job_spec_schema.ts";
import { fieldsOf } from "../chat/masks/chat_fixture.ts";
import { createExampleBuilder } from "./examples.ts";
import { parseJson } from "../../python/json/parse_json.ts";
import { loadTokenizer, type Tokenizer } from "../tokenizer/tokenizer.ts";

const tokenizer = await loadTokenizer(goldenPath("data/byte_level"));
const PLAIN = "{% for m in messages %}<{{ m.role }}>{{ m.content + '</s>' }}{% endfor %}" +
  "{% if add_generation_prompt %}<assistant>{% endif %}";
const TOOLS = "{% for t in tools or [] %}{{ t | tojson }}{% endfor %}" + PLAIN;

interface Built {
  readonly text: string;
  readonly trained: string;
  readonly warnings: readonly string[];
}

/** The rows' text, one line each, as JSON in the file. */
function build(chatTemplate: Tokenizer["chatTemplate"], ...lines: string[]): Built {
  const builder = createExampleBuilder({ ...tokenizer, chatTemplate }, datasetSchema.parse({}));
  const examples = lines.map((json, i) => builder.build({ line: i + 1, fields: fieldsOf(parseJson(json)) }));
  return {
    text: examples.map(({ tokens }) => tokenizer.decode(tokens)).join("\n"),
    trained: examples.map(({ tokens, completionMask }) =>
      tokenizer.decode(tokens.filter((_, t) => completionMask[t] === 1))
    )
      .join("\n"),
    warnings: builder.warnings(),
  };
}

function refusal(chatTemplate: Tokenizer["chatTemplate"], json: string): LoraFleetError {
  const error = assertThrows(() => build(chatTemplate, json), LoraFleetError);
  assertStringIncludes(error.message, "line 1 ");
  return error;
}

const CHAT = `[{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Ho"}]`;
const messages = (...contents: string[]) =>
  `"messages": [${
    contents.map((content, i) => `{"role": "${i % 2 === 0 ? "user" : "assistant"}", "content": ${content}}`)
  }]`;

Deno.test("null columns of other forms count as absent", () => {
  const nulls = `"messages": null, "tools": null, "chat_template_kwargs": null`;
  assertEquals(
    build(null, `{"text": "hello", "prompt": null, "completion": null, ${nulls}}`).text,
    "<s>hello</s>",
  );
  assertEquals(build(null, `{"prompt": "a", "completion": "b", "text": null, ${nulls}}`).trained, "b</s>");
  const row = `{"text": null, "prompt": null, "messages": ${CHAT}, "tools": null}`;
  assertEquals(build(PLAIN, row).text, "<user>Hi</s><assistant>Ho</s>");
});

Deno.test("a row in two forms is refused by their names", () => {
  assertStringIncludes(refusal(PLAIN, `{"text": "x", "messages": ${CHAT}}`).message, `"messages" and "text"`);
  assertStringIncludes(
    refusal(PLAIN, `{"prompt": "x", "completion": "y", "messages": ${CHAT}}`).message,
    `"prompt" with "completion" and "messages"`,
  );
  // A column beside the messages that is no form by itself.
  assertEquals(build(PLAIN, `{"prompt": "x", "messages": ${CHAT}}`).trained, "Ho</s>");
});

Deno.test("null fields of messages and of calls do not reach the template", () => {
  const asking = "{% for m in messages %}{{ m.role }}{% if 'tool_calls' in m %}{{ m.tool_calls | length }}" +
    "{% for c in m.tool_calls %}{{ c | tojson }}{% endfor %}{% endif %}{{ m.content }}.{% endfor %}";
  const call = `{"id": null, "function": {"name": "f", "arguments": {"a": null}, "strict": null}}`;
  const built = build(
    asking,
    `{"messages": [{"role": "user", "content": "Hi", "tool_calls": null, "name": null},
      {"role": "assistant", "content": "Ho", "weight": null, "tool_calls": [${call}]}]}`,
  );
  assertEquals(
    built.text,
    'userHi.assistant1{"function": {"name": "f", "arguments": {"a": null}}}Ho.',
  );
  assertStringIncludes(
    built.warnings.join(),
    "1 of 1 rows (the first is line 1) call tools with arguments that are null",
  );
});

Deno.test("a null content counts as absent; a template that asks for it gets it", () => {
  const row = `{"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": null,
    "tool_calls": [{"function": {"name": "f", "arguments": {}}}]}]}`;
  const lenient = "{% for m in messages %}{{ m.role }}{{ m.content }}{% for c in m.tool_calls or [] %}" +
    "({{ c.function.name }}){% endfor %}.{% endfor %}";
  assertEquals(build(lenient, row).text, "userHi.assistant(f).");
  const asking = "{% for m in messages %}{{ m.role }}{% if m.content is none %}{% for c in m.tool_calls %}" +
    "({{ c.function.name }}){% endfor %}{% else %}{{ '' + m.content }}{% endif %}.{% endfor %}";
  assertEquals(build(asking, row).text, "userHi.assistant(f).");
});

Deno.test("null arguments of a call count as absent; a template that writes them as JSON gets the null", () => {
  const row = `{"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Ho",
    "tool_calls": [{"function": {"name": "f", "arguments": null}}]}]}`;
  const asking = "{% for m in messages %}{{ m.role }}{{ m.content }}{% for c in m.tool_calls or [] %}" +
    "({{ c.function.name }} {{ c.function.arguments | tojson }}){% endfor %}.{% endfor %}";
  assertEquals(build(asking, row).text, "userHi.assistantHo(f null).");
});

const TOOL =
  `{"type": "function", "function": {"name": "add", "parameters": {"a": 9007199254740993, "b": 1.0}}}`;

Deno.test("rows with tools take the template called tool_use, the others the default", () => {
  const templates = new Map([["default", PLAIN], ["tool_use", "Tools: {{ tools | tojson }} " + PLAIN]]);
  const built = build(templates, `{"messages": ${CHAT}, "tools": [${TOOL}]}`, `{"messages": ${CHAT}}`);
  assertEquals(
    built.text,
    `Tools: [${TOOL}] <user>Hi</s><assistant>Ho</s>\n<user>Hi</s><assistant>Ho</s>`,
  );
  assertEquals(built.trained, "Ho</s>\nHo</s>");
});

Deno.test("tools as JSON text are decoded; what is no JSON list is refused with the line and the field", () => {
  const row = (tools: string) => `{"messages": ${CHAT}, "tools": ${tools}}`;
  assertEquals(build(TOOLS, row(JSON.stringify(`[${TOOL}]`))).text, `${TOOL}<user>Hi</s><assistant>Ho</s>`);
  assertEquals(build(TOOLS, row(`"null"`)).text, "<user>Hi</s><assistant>Ho</s>");
  for (
    const [tools, words] of [
      [`"get_weather"`, `the "tools" "get_weather", a text that is not JSON`],
      [`""`, `the "tools" "", a text that is not JSON`],
      [`"{}"`, `the "tools" "{}"; a list of tools`],
      [`{"name": "f"}`, `the "tools" {"name": "f"}; a list of tools`],
      [`5`, `the "tools" 5; a list of tools`],
      [`[${TOOL}, "f"]`, `has "f" as tool 2 of "tools"`],
    ] as const
  ) assertStringIncludes(refusal(TOOLS, row(tools)).message, words);
});

Deno.test("null fields of a tool's description are left out, except where a schema means null", () => {
  const tool =
    `{"name": "f", "strict": null, "parameters": {"properties": {"a": {"default": null, "enum": ["x", null]},
    "b": null}}}`;
  assertEquals(
    build(TOOLS, `{"messages": ${CHAT}, "tools": [${tool}]}`).text,
    '{"name": "f", "parameters": {"properties": {"a": {"default": null, "enum": ["x", null]}}}}' +
      "<user>Hi</s><assistant>Ho</s>",
  );
});

Deno.test("chat_template_kwargs are variables of the template, for their row alone", () => {
  const thinking = "{% if enable_thinking is defined and not enable_thinking %}/no_think {% endif %}" + PLAIN;
  const built = build(
    thinking,
    `{"messages": ${CHAT}, "chat_template_kwargs": {"enable_thinking": false}}`,
    `{"messages": ${CHAT}, "chat_template_kwargs": {"enable_thinking": null}}`,
    `{"prompt": [{"role": "user", "content": "Hi"}], "completion": [{"role": "assistant", "content": "Ho"}],
      "chat_template_kwargs": {"enable_thinking": false}}`,
  );
  const text = "<user>Hi</s><assistant>Ho</s>";
  assertEquals(built.text, `/no_think ${text}\n${text}\n/no_think ${text}`);
  assertEquals(built.trained, "Ho</s>\nHo</s>\nHo</s>");
});

Deno.test("documents in chat_template_kwargs are the template's documents", () => {
  const reading = "{% for d in documents or [] %}{{ d.title }}: {% endfor %}" + PLAIN;
  const row = (documents: string) =>
    `{"messages": ${CHAT}, "chat_template_kwargs": {"documents": ${documents}}}`;
  assertEquals(build(reading, row(`[{"title": "T", "text": "x"}]`)).text, "T: <user>Hi</s><assistant>Ho</s>");
  assertStringIncludes(
    refusal(reading, row(`["T"]`)).message,
    `the "documents" ["T"] in "chat_template_kwargs"`,
  );
});

for (const name of ["messages", "tools", "chat_template", "add_generation_prompt", "tokenize"]) {
  Deno.test(`chat_template_kwargs cannot set ${name}`, () => {
    const error = refusal(PLAIN, `{"messages": ${CHAT}, "chat_template_kwargs": {"${name}": []}}`);
    assertStringIncludes(error.message, `"${name}" in "chat_template_kwargs"`);
  });
}

Deno.test("text parts become one text, a line each, where the template expects a text", () => {
  const parts = `[{"type": "text", "text": "Hi", "image_url": null}, {"type": "text", "text": "there"}]`;
  for (const template of [PLAIN, PLAIN.replace("m.content + '</s>'", "m.content }}{{ '</s>'")]) {
    const built = build(template, `{${messages(parts, `[{"type": "text", "text": "Ho"}]`)}}`);
    assertEquals([built.text, built.trained], ["<user>Hi\nthere</s><assistant>Ho</s>", "Ho</s>"]);
  }
});

Deno.test("a part without a type is a text for a template that asks for types, too", () => {
  const template = "{% for m in messages %}<{{ m.role }}>{% for p in m.content %}" +
    "{% if p.type == 'text' %}{{ p.text }}{% endif %}{% endfor %}{% endfor %}";
  const parts = `[{"text": "a"}, {"type": null, "text": "b"}, "c"]`;
  assertEquals(build(template, `{${messages(parts, parts)}}`).text, "<user>abc<assistant>abc");
});

Deno.test("a template that goes through the parts gets them", () => {
  const walking =
    "{% for m in messages %}<{{ m.role }}>{% if m.content is string %}{{ m.content }}{% else %}" +
    "{% for p in m.content %}{% if p.type == 'text' %}({{ p.text }}){% endif %}{% endfor %}{% endif %}</s>{% endfor %}";
  const alone = walking.replace("{% if m.content is string %}{{ m.content }}{% else %}", "").replace(
    "{% endif %}</s>",
    "</s>",
  );
  const parts = `[{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]`;
  // Parts in brackets are not what a text gives: that template means parts and texts differently.
  for (
    const template of [
      walking.replace("({{ p.text }})", "{{ p.text }}"),
      alone.replace("({{ p.text }})", "{{ p.text }}"),
    ]
  ) {
    assertEquals(build(template, `{${messages(parts, parts)}}`).text, "<user>ab</s><assistant>ab</s>");
  }
});

for (const type of ["image_url", "input_audio", "refusal"]) {
  Deno.test(`a part of type ${type} is refused by its name, with the message`, () => {
    const error = refusal(PLAIN, `{${messages(`[{"type": "${type}", "${type}": {}}]`, `"Ho"`)}}`);
    assertStringIncludes(error.message, `a part of type "${type}" in message 1 of "messages"`);
  });
}

Deno.test("OpenAI's older functions are refused by name; parallel_tool_calls changes no text", () => {
  assertStringIncludes(
    refusal(PLAIN, `{"messages": ${CHAT}, "functions": [{"name": "f"}]}`).message,
    `has "functions", which OpenAI has replaced by "tools"`,
  );
  assertEquals(
    build(PLAIN, `{"messages": ${CHAT}, "functions": null, "parallel_tool_calls": false}`).trained,
    "Ho</s>",
  );
});

const HALF = "\\ud83d";
for (
  const [name, json, place] of [
    ["a text", `{"text": "cut ${HALF} here"}`, `"text"`],
    ["a prompt", `{"prompt": "a${HALF}", "completion": "b"}`, `"prompt"`],
    ["a completion", `{"prompt": "a", "completion": "\\ude00b"}`, `"completion"`],
    ["a message", `{${messages(`"Hi"`, `"${HALF}"`)}}`, `"messages"[1].content`],
    [
      "a part",
      `{${messages(`[{"type": "text", "text": "${HALF}"}]`, `"Ho"`)}}`,
      `"messages"[0].content[0].text`,
    ],
    ["a key", `{"messages": [{"role": "user", "content": "Hi", "${HALF}": 1}]}`, `a key of "messages"[0]`],
    ["a tool", `{"messages": ${CHAT}, "tools": [{"name": "${HALF}"}]}`, `"tools"[0].name`],
    [
      "a tool in JSON text",
      `{"messages": ${CHAT}, "tools": "[{\\"name\\": \\"\\${HALF}\\"}]"}`,
      `"tools"[0].name`,
    ],
    [
      "a variable",
      `{"messages": ${CHAT}, "chat_template_kwargs": {"a": "${HALF}"}}`,
      `"chat_template_kwargs".a`,
    ],
  ] as const
) {
  Deno.test(`half of a surrogate pair in ${name} is refused with its place`, () => {
    assertStringIncludes(refusal(PLAIN, json).message, `half of a surrogate pair in ${place}`);
  });
}

Deno.test("whole surrogate pairs, whatever their neighbours, are no halves", () => {
  fc.assert(fc.property(fc.string({ unit: "grapheme", minLength: 1 }), (text) => {
    assertEquals(build(null, JSON.stringify({ text: `${text}\u{1f600}` })).text, `<s>${text}\u{1f600}</s>`);
  }));
});

Deno.test("an error quotes numbers as the file has them", () => {
  assertStringIncludes(refusal(PLAIN, `{"text": 9007199254740993}`).message, "9007199254740993;");
  assertStringIncludes(refusal(PLAIN, `{"text": 1.0}`).message, 'the "text" 1.0;');
});

Deno.test("rows that begin with the BOS string are reported with what to change", () => {
  const [warning] = build(null, `{"text": "<s>[INST] hi [/INST] ho </s>"}`, `{"text": "plain"}`).warnings;
  assertStringIncludes(warning!, `1 of 2 rows (the first is line 1) begin with "<s>"`);
  assertStringIncludes(warning!, "Set dataset.split_special_tokens to false");
});
