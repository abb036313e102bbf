import { assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { LoraFleetError } from "../../shared/errors.ts";
import { loadTokenizer, type Tokenizer } from "../../shared/data/tokenizer/tokenizer.ts";
import { questionOf, readEvaluationRows } from "./rows.ts";

const plain = await loadTokenizer(`${import.meta.dirname}/../../deploy/demo/assets/base`);
const stop = new Set(plain.eosTokenIds);
const TEMPLATE =
  "{% for m in messages %}[{{ m.role }}]{{ m.content }}{% if m.role == 'assistant' %}{{ eos_token }}{% endif %}{% endfor %}" +
  "{% if add_generation_prompt %}[assistant]{% endif %}";
const chatty: Tokenizer = { ...plain, chatTemplate: TEMPLATE };

async function rowsOf(lines: readonly unknown[], tokenizer = plain, textField = "text") {
  const path = await Deno.makeTempFile({ suffix: ".jsonl" });
  try {
    await Deno.writeTextFile(path, lines.map((line) => `${JSON.stringify(line)}\n`).join(""));
    const { examples, questions } = await readEvaluationRows(path, tokenizer, stop, textField);
    const text = (ids: Uint32Array) => tokenizer.decode(ids);
    return {
      exampleCount: examples.length,
      questions: questions.map(({ prompt, expected }) => [text(prompt), text(expected)]),
    };
  } finally {
    await Deno.remove(path);
  }
}

Deno.test("a completion's question is its prompt; the expected answer has no stop token", async () => {
  assertEquals(await rowsOf([{ prompt: 'Spell "ab":\n', completion: "a b" }]), {
    exampleCount: 1,
    questions: [['Spell "ab":\n', "a b"]],
  });
});

Deno.test("a chat's question is everything before the last assistant turn", async () => {
  const messages = [
    { role: "user", content: "one" },
    { role: "assistant", content: "two" },
    { role: "user", content: "three" },
    { role: "assistant", content: "four" },
  ];
  const { questions } = await rowsOf([{ messages }], chatty);
  assertEquals(questions.length, 1);
  const [prompt, expected] = questions[0]!;
  assertStringIncludes(prompt!, "two");
  assertEquals([prompt!.endsWith("[user]three[assistant]"), expected], [true, "four"]);
});

Deno.test("an answer ends at its first stop token, even if the template writes more", async () => {
  // 0 is the stop token; 15 stands for the line break that ChatML writes behind it.
  const question = (tokens: number[], completionMask: number[]) =>
    questionOf({ tokens: Uint32Array.from(tokens), completionMask: Uint8Array.from(completionMask) }, stop)
      ?.expected;
  assertEquals(question([10, 11, 0, 15], [0, 1, 1, 1]), Uint32Array.of(11));
  assertEquals(question([10, 11, 0, 0, 15], [0, 1, 1, 1, 1]), Uint32Array.of(11));
  assertEquals(question([10, 0, 15], [0, 1, 1]), Uint32Array.of());
  const chatMl: Tokenizer = {
    ...plain,
    chatTemplate:
      "{% for m in messages %}{{ '[' + m.role + ']' + m.content + eos_token + '\\n' }}{% endfor %}" +
      "{% if add_generation_prompt %}{{ '[assistant]' }}{% endif %}",
  };
  const messages = [{ role: "user", content: "two and two" }, { role: "assistant", content: "four" }];
  const { questions } = await rowsOf([{ messages }], chatMl);
  assertEquals(questions.map(([, expected]) => expected), ["four"]);
});

Deno.test("a turn's end mark ends the answer even if the model's files list no such stop token", async () => {
  // The tokenizer's "</s>" stands for <|im_end|>, and the model stops at something else.
  const path = await Deno.makeTempFile({ suffix: ".jsonl" });
  try {
    const messages = [{ role: "user", content: "two and two" }, { role: "assistant", content: "four" }];
    await Deno.writeTextFile(path, `${JSON.stringify({ messages })}\n`);
    const chatMl: Tokenizer = {
      ...plain,
      chatTemplate:
        "{% for m in messages %}{{ '[' + m.role + ']' + m.content + eos_token + '\\n' }}{% endfor %}" +
        "{% if add_generation_prompt %}{{ '[assistant]' }}{% endif %}",
    };
    const { questions, stopTokens } = await readEvaluationRows(path, chatMl, new Set([899_999]), "text");
    assertEquals(questions.map(({ expected }) => chatMl.decode(expected)), ["four"]);
    assertEquals([...stopTokens].sort(), [...plain.eosTokenIds, 899_999].sort());
  } finally {
    await Deno.remove(path);
  }
});

Deno.test("plain text counts in the loss and has no question", async () => {
  const rows = [{ body: "some words" }, { prompt: "p:\n", completion: "c" }];
  assertEquals(await rowsOf(rows, plain, "body"), { exampleCount: 2, questions: [["p:\n", "c"]] });
});

Deno.test("the answer is the last run of completion tokens", () => {
  const tokens = Uint32Array.of(10, 11, 12, 13, 14, 0, 15);
  const question = (...completionMask: number[]) =>
    questionOf({ tokens, completionMask: Uint8Array.from(completionMask) }, stop);
  const found = (prompt: number[], expected: number[]) => ({
    prompt: Uint32Array.from(prompt),
    expected: Uint32Array.from(expected),
  });
  assertEquals(question(0, 1, 1, 0, 1, 1, 0), found([10, 11, 12, 13], [14]));
  assertEquals(question(0, 0, 1, 1, 1, 0, 0), found([10, 11], [12, 13, 14]));
  assertEquals(question(0, 0, 0, 0, 0, 1, 0), found([10, 11, 12, 13, 14], []));
  assertEquals(question(1, 1, 1, 1, 1, 1, 1), null);
  assertEquals(question(1, 1, 0, 0, 0, 0, 0), null);
});

for (
  const [what, text, code, words] of [
    ["no rows", "\n", "invalid_dataset", "has no rows"],
    ["a line that is no JSON", `{"text": "a b c"}\nnonsense\n`, "invalid_dataset", "line 2"],
    ["a row without known fields", `{"question": "x"}\n`, "invalid_dataset", `line 1 has "question"`],
    [
      "a chat without a template",
      `{"messages": [{"role": "user", "content": "x"}]}\n`,
      "invalid_model",
      "template",
    ],
  ] as const
) {
  Deno.test(`refused: ${what}`, async () => {
    const path = await Deno.makeTempFile();
    await Deno.writeTextFile(path, text);
    try {
      const error = await assertRejects(
        () => readEvaluationRows(path, plain, stop, "text"),
        LoraFleetError,
        words,
      );
      assertEquals(error.code, code);
    } finally {
      await Deno.remove(path);
    }
  });
}

Deno.test("a dataset that is missing or a folder is named", async () => {
  for (const path of ["/no/such/rows.jsonl", import.meta.dirname!]) {
    const error = await assertRejects(
      () => readEvaluationRows(path, plain, stop, "text"),
      LoraFleetError,
      path,
    );
    assertEquals([error.code, error.param], ["storage", path]);
  }
});
