import { assertEquals, assertThrows } from "@std/assert";
import { goldenPath } from "../../tests/golden/data_goldens.ts";
import { LoraFleetError } from "../errors.ts";
import { createChatTemplate } from "./chat_template.ts";
import { loadTokenizer } from "./tokenizer.ts";

const tokenizer = await loadTokenizer(goldenPath("data_byte_level"));
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
