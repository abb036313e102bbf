import { assert, assertEquals, assertThrows } from "@std/assert";
import { goldenPath } from "../../../../tests/golden/data_goldens.ts";
import { LoraFleetError } from "../../../errors.ts";
import { type ChatGolden, judge, parseChats, renderChat } from "./chat_goldens.ts";
import { createChatTemplate } from "./chat_template.ts";
import { parseJson } from "../../../python/json/parse_json.ts";
import type { PyValue } from "../../../python/values/value.ts";
import { loadTokenizer } from "../../tokenizer/tokenizer.ts";

const tokenizer = await loadTokenizer(goldenPath("data/byte_level"));
const templateOf = (chatTemplate: string | null) => createChatTemplate({ ...tokenizer, chatTemplate });
const render = (source: string, options = {}) =>
  templateOf(source).render([new Map([["role", "user"], ["content", "x"]])], options).text;

Deno.test("a template sees messages, special tokens, tools and what transformers defines besides", () => {
  assertEquals(render("{{ bos_token }}{{ messages[0].content }}{{ eos_token }}"), "<s>x</s>");
  assertEquals(
    render("{{ unk_token is defined }}{{ tools is none }}{{ documents is none }}{{ add_generation_prompt }}"),
    "FalseTrueTrueFalse",
  );
  assertEquals(
    render("{{ tools[0].name }}{{ add_generation_prompt }}", {
      tools: [new Map([["name", "f"]])],
      addGenerationPrompt: true,
    }),
    "fTrue",
  );
  assertEquals(render("{{ True and not False and None is none }}"), "True");
  assertEquals(
    render(
      "{% set ns = namespace(n=0) %}{% for i in range(2, 7, 2) %}{% set ns.n = ns.n + i %}{% endfor %}{{ ns.n }}",
    ),
    "12",
  );
  assertEquals(
    render("{% for i in range(2) %}{{ i }}{% endfor %}{% for i in range(3, 0, -1) %}{{ i }}{% endfor %}"),
    "01321",
  );
});

Deno.test("a template cannot ask for today's date", () => {
  const asking = "{% if strftime_now is defined %}{{ strftime_now('%Y') }}{% else %}own{% endif %}";
  assertEquals(render(asking), "own");
  assertEquals(render("{{ strftime_now('%d %B %Y, %b %A %a %m') }}"), "26 July 2024, Jul Friday Fri 07");
  assertEquals(
    render("{{ strftime_now('%H:%M, day %j, week %V, %-m/%-d/%y') }}"),
    "00:00, day 208, week 30, 7/26/24",
  );
});

Deno.test("one rendering leaves nothing behind for the next", () => {
  const template = templateOf("{% set seen = seen + 1 if seen is defined else 1 %}{{ seen }}");
  assertEquals([1, 2].map(() => template.render([new Map([["role", "user"]])]).text), ["1", "1"]);
});

Deno.test("what a template refuses is the dataset's fault, with its words", () => {
  const error = assertThrows(() => render("{{ raise_exception('odd roles') }}"), LoraFleetError, "odd roles");
  assertEquals(error.code, "invalid_dataset");
});

Deno.test("no template, a template that does not parse", () => {
  for (const [source, words] of [[null, "has no chat template"], ["{% for %}", "does not parse"]] as const) {
    const error = assertThrows(() => templateOf(source), LoraFleetError, words);
    assertEquals([error.code, error.param], ["invalid_model", "chat_template"]);
  }
});

const golden: {
  readonly templates: Readonly<Record<string, string>>;
  readonly chats: string;
  readonly cases: readonly ChatGolden[];
} = JSON.parse(await Deno.readTextFile(new URL("./chat_goldens.json", import.meta.url)));
const chats = parseChats(golden.chats);

for (const [name, source] of Object.entries(golden.templates)) {
  Deno.test(`template "${name}": every chat gives transformers' text and masks, or is refused by both`, () => {
    const cases = golden.cases.filter(({ template }) => template === name);
    assertEquals(cases.length, chats.size);
    for (const theirs of cases) {
      const ours = renderChat(source, chats.get(theirs.chat)!);
      const verdict = judge(ours, theirs);
      const isSame = verdict === "equal" || verdict === "equal mask" || verdict === "both refuse";
      assert(
        isSame,
        `${theirs.chat}: ${verdict}: ${JSON.stringify(ours)} instead of ${JSON.stringify(theirs)}`,
      );
    }
  });
}

const renderRow = (source: string, row: string) =>
  templateOf(source).render(parseJson(row) as Map<string, PyValue>[]).text;

Deno.test("numbers and keys of a row are written as json.dumps writes them", () => {
  const row =
    '[{"role": "user", "arguments": {"id": 9007199254740993, "t": 1.0, "e": 1e-07, "10": 1, "9": 2}}]';
  assertEquals(
    renderRow("{{ messages[0].arguments | tojson }}", row),
    '{"id": 9007199254740993, "t": 1.0, "e": 1e-07, "10": 1, "9": 2}',
  );
});

Deno.test("a text plus what is no text is refused, never written in JavaScript's form", () => {
  const source = "{{ 'call ' + messages[0].arguments }}";
  for (
    const [value, type] of [['{"city": "Oslo"}', "dict"], ["[1]", "list"], ["1", "int"], ["null", "NoneType"]]
  ) {
    const error = assertThrows(
      () => renderRow(source, `[{"role": "user", "arguments": ${value}}]`),
      LoraFleetError,
      `TypeError: can only concatenate str (not "${type}") to str`,
    );
    assertEquals(error.code, "invalid_dataset");
  }
});

Deno.test("what a pass of a loop wrote before break or continue stays", () => {
  const source = "{% for m in messages %}{{ m.role }};{% if m.role == 'user' %}{% continue %}{% endif %}" +
    "{{ m.content }}{% if m.content == 'stop' %}{% break %}{% endif %}.{% endfor %}";
  const row =
    '[{"role": "user"}, {"role": "a", "content": "x"}, {"role": "b", "content": "stop"}, {"role": "c"}]';
  assertEquals(renderRow(source, row), "user;a;x.b;stop");
});

Deno.test("strip takes away exactly the characters that it is given", () => {
  const source = "{{ messages[0].content.split('</think>')[-1].lstrip('\n') }}";
  assertEquals(
    renderRow(source, JSON.stringify([{ role: "a", content: "<think>x</think>\n\n    return 1" }])),
    "    return 1",
  );
});

Deno.test("values are printed as Python prints them", () => {
  const row = `[{"role": "user", "v": [true, null, {"a": "it's"}, 1.0, "\\n"]}]`;
  assertEquals(renderRow("{{ messages[0].v }}", row), `[True, None, {'a': "it's"}, 1.0, '\\n']`);
});

Deno.test("a field of a missing field is an error, a missing field is not", () => {
  assertEquals(renderRow("[{{ messages[0].a }}]", '[{"role": "user"}]'), "[]");
  assertThrows(
    () => renderRow("{{ messages[0].a.b }}", '[{"role": "user"}]'),
    LoraFleetError,
    "'dict object' has no attribute 'a'",
  );
});

Deno.test("what the engine lacks or the sandbox forbids is the model's fault, by name", () => {
  for (
    const [source, words] of [
      ["{% include 'other' %}", "uses what is not supported: the tag {% include %}"],
      ["{{ messages | pprint }}", "uses what is not supported: the filter pprint"],
      ["{{ 'x'.encode() }}", "uses what is not supported: bytes (the method encode)"],
      ["{{ range }}", "uses what is not supported: the printed form of a function"],
      ["{{ messages | nope }}", "No filter named 'nope'"],
      ["{% if messages %}{{ messages | nope }}{% endif %}", "No filter named 'nope'"],
      ["{{ messages.append(1) }}", "access to attribute 'append' of 'list' object is unsafe"],
    ] as const
  ) {
    const error = assertThrows(() => render(source), LoraFleetError, words);
    assertEquals([error.code, error.param], ["invalid_model", "chat_template"]);
  }
});

Deno.test("a template that would never end is stopped", () => {
  for (
    const [source, words] of [
      ["{% for i in range(10**9) %}{% endfor %}", "Range too big"],
      [
        "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}",
        "more than 20000000 steps",
      ],
      ["{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}", "maximum recursion depth exceeded"],
      ["{{ 'a' * 10**9 }}", "MemoryError: a text of more than 67108864 characters"],
      ["{{ [1] * 10**9 }}", "MemoryError: a list of more than 16777216 items"],
      ["{{ [1] | batch(10**9, 0) | list }}", "MemoryError: a list of more than"],
      [
        "{% set ns = namespace(x=[1]) %}{% for i in range(99) %}{% set ns.x = ns.x + ns.x %}{% endfor %}",
        "a list of more than",
      ],
      [
        "{% set ns = namespace(x='1') %}{% for i in range(99) %}{% set ns.x = ns.x + ns.x %}{% endfor %}",
        "a text of more than",
      ],
      ["{{ 10 ** (10 ** 10) }}", "bits is not computed"],
    ] as const
  ) {
    const error = assertThrows(() => render(source), LoraFleetError, words);
    assertEquals(error.code, "invalid_dataset");
  }
});

Deno.test("further variables of a row reach the template, but cannot replace the messages", () => {
  const kwargs = new Map<string, PyValue>([["enable_thinking", false]]);
  assertEquals(render("{{ enable_thinking }}{{ enable_thinking is false }}", { kwargs }), "FalseTrue");
  assertThrows(
    () => render("{{ messages }}", { kwargs: new Map([["messages", "x"]]) }),
    LoraFleetError,
    'chat_template_kwargs has "messages"',
  );
});

Deno.test("generation blocks say what they wrote", () => {
  const template = templateOf(
    "{% for m in messages %}{{ m.role }}: {% generation %}{{ m.content }}{% endgeneration %};{% endfor %}",
  );
  const { text, generated } = template.render([new Map([["role", "🙂"], ["content", "yes"]])]);
  assertEquals(generated.map(([start, end]) => text.slice(start, end)), ["yes"]);
  assertEquals([template.hasGenerationBlocks, templateOf("x").hasGenerationBlocks], [true, false]);
});
