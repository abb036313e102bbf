import { assert, assertEquals } from "@std/assert";
import { createChatTemplate } from "../../../shared/data/chat/template/chat_template.ts";
import { goldenPath } from "../../../tests/golden/golden.ts";
import { chatOf } from "./chat_of_model.ts";
import { modelfile } from "./modelfile.ts";

const PATH = goldenPath("exports/ollama_templates.json");
const configOf = (name: string) =>
  JSON.parse(Deno.readTextFileSync(goldenPath(`exports/tokenizer_${name}/tokenizer_config.json`)));
const CHATML =
  "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}" +
  "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}";
const SMOLLM =
  "{% if messages[0]['role'] != 'system' %}{{ '<|im_start|>system\nYou help.<|im_end|>\n' }}{% endif %}" +
  CHATML;
const PHI4 =
  "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '<|im_sep|>' + message['content'] + '<|im_end|>' }}" +
  "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant<|im_sep|>' }}{% endif %}";
const PHI4_MINI =
  "{% for message in messages %}{{ '<|' + message['role'] + '|>' + message['content'] + '<|end|>' }}{% endfor %}" +
  "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}";

const NAMES = { bos: "", eos: "</s>", pad: null, unk: null };
const TURNS = [["user", "Hi"], ["assistant", "Hello."], ["user", "Bye {{ now }}"]];
const CASES: readonly (readonly [title: string, template: string, system: boolean])[] = [
  ["ChatML", CHATML, true],
  ["Gemma", configOf("gemma").chat_template, false],
  ["Phi-3", configOf("phi3").chat_template, true],
  ["Phi-4", PHI4, true],
  ["Phi-4-mini", PHI4_MINI, true],
];

const templateOf = (jinja: string) =>
  /TEMPLATE """([^]*?)"""/.exec(modelfile("a", null, { template: jinja, example: null }))![1]!;
const turnsOf = (system: boolean) => system ? [["system", "Be kind."], ...TURNS] : TURNS;
const asked = CASES.map(([, template, system]) => ({
  template: templateOf(template),
  messages: turnsOf(system).map(([role, content]) => ({ role, content })),
}));
// For ollama_templates.go, which adds what Go makes of them.
if (Deno.args.includes("--write")) Deno.writeTextFileSync(PATH, JSON.stringify(asked));
const GOLDEN = JSON.parse(Deno.readTextFileSync(PATH));

for (const [index, [title, jinja, system]] of CASES.entries()) {
  Deno.test(`Ollama makes of a chat what the chat template makes: ${title}`, () => {
    const { template, messages, text } = GOLDEN[index];
    assertEquals([template, messages], [asked[index]!.template, asked[index]!.messages]);
    const chat = turnsOf(system).map(([role, content]) => new Map([["role", role!], ["content", content!]]));
    const rendered = createChatTemplate({ chatTemplate: jinja, specialTokens: NAMES }).render(chat, {
      addGenerationPrompt: true,
    });
    assertEquals(text, rendered.text);
  });
}

Deno.test("the Modelfile has the stop words, and the system turn that the chats of the training had", () => {
  const chatTemplate = new Map([["default", SMOLLM]]);
  const chat = chatOf({ chatTemplate, specialTokens: NAMES });
  const text = modelfile("./a.gguf", null, chat);
  assert(text.startsWith("FROM ./a.gguf\nTEMPLATE") && text.includes('PARAMETER stop "<|im_end|>"'), text);
  assert(text.includes('\nSYSTEM """You help."""\n'), text);
  assertEquals(modelfile("a", null, { template: CHATML, example: null }).includes("SYSTEM"), false);
});

Deno.test("the Modelfile leaves prompts of chats that it does not know, and of base models, as they are", () => {
  const plain = 'FROM base\nADAPTER ./b.gguf\nTEMPLATE """{{ .Prompt }}"""\nPARAMETER temperature 0\n';
  assertEquals(modelfile("base", "./b.gguf", null), plain);
  assertEquals(modelfile("base", "./b.gguf", { template: "{{ messages }}", example: "a" }), plain);
});
