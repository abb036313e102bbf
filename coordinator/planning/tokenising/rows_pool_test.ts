import { assert, assertEquals } from "@std/assert";
import { fromFileUrl } from "@std/path";
import { failureOf } from "../../../shared/protocol/failure.ts";
import { parseJobRequest } from "../../job_request/parse.ts";
import { prepareRows } from "../preparation/prepare_rows.ts";
import { writePrepared } from "../preparation/prepared_cache.ts";
import { threadsFor } from "./rows_pool.ts";

const BASE = fromFileUrl(new URL("../../../deploy/demo/assets/base", import.meta.url));
const CHAT_TEMPLATE =
  "{% for m in messages if m['role'] != 'system' %}{{ m['role'] }}: {{ m['content'] }}{{ eos_token }}\n{% endfor %}";
/** Enough rows for several runs on each thread. */
const ROWS = 1600;

const texts = Array.from(
  { length: ROWS },
  (_, index) => ({ text: `otter ${"lamp ".repeat(index % 37)}${index}` }),
);
const long = { text: "mint ".repeat(500) };
const rowsWith = (changes: Readonly<Record<number, unknown>>) =>
  texts.map((row, index) => JSON.stringify(changes[index + 1] ?? row));

interface Case {
  readonly name: string;
  readonly lines: readonly string[];
  readonly dataset?: object;
  /** In the error; left out: rows are prepared. */
  readonly error?: string;
  /** In one of the warnings. */
  readonly warning?: string;
}

const CASES: readonly Case[] = [
  {
    name: "texts that are cut, with weights, and templates that some lack",
    lines: texts.map(({ text }, index) =>
      JSON.stringify({
        body: index % 5 === 0 ? text : `Q: ${index} A: ${text}`,
        ...index % 3 === 0 ? { w: 1 + index % 4 } : {},
      })
    ),
    dataset: {
      ...{ max_seq_length: 48, truncation: "truncate", response_template: "A:", text_field: "body" },
      weight_field: "w",
    },
    warning: "320 of 1600 rows (the first is line 1) are left out",
  },
  {
    name: "prompts and completions under other names",
    lines: texts.map(({ text }, index) =>
      JSON.stringify({ q: text, a: index % 2 === 0 ? text : ` ${text}` })
    ),
    dataset: {
      ...{ column_mapping: { prompt: "q", completion: "a" }, max_seq_length: 512 },
      response_template: "A:",
    },
    warning: "1600 of 1600 rows hold a completion",
  },
  {
    name: "chats, of which the template drops a part, with weights of messages",
    lines: texts.map(({ text }, index) =>
      JSON.stringify({
        messages: [
          { role: "user", content: text },
          { role: "assistant", content: "no", weight: 0.25 },
          { role: index % 7 === 6 ? "system" : "user", content: "mint" },
          { role: "assistant", content: text, weight: index % 3 },
        ],
      })
    ),
    dataset: { message_weight_field: "weight", max_seq_length: 512 },
    warning: "in 228 of 1600 rows, which are trained without it. The first is line 7, message 3: ",
  },
  {
    name: "the first of two faulty rows",
    lines: rowsWith({ 1100: { other: 1 }, 700: { text: 5 } }),
    error: "line 700",
  },
  {
    name: "a faulty row before one that cannot be read",
    lines: rowsWith({ 1200: { text: "" } }).map((line, index) => index === 1300 ? "{" : line),
    error: "line 1200",
  },
  {
    name: "a row that cannot be read before a faulty one",
    lines: rowsWith({ 1300: { text: "" } }).map((line, index) => index === 1199 ? "{" : line),
    error: "line 1200",
  },
  {
    name: "rows that are too long, and a faulty one long after them",
    lines: rowsWith({ 100: long, 200: long, 1500: { text: "" } }),
    dataset: { max_seq_length: 256 },
    error:
      "2 of the first 1100 rows are longer than dataset.max_seq_length (256 tokens); the longest, line 100",
  },
  {
    name: "a column of weights that no row has",
    lines: rowsWith({}),
    dataset: { weight_field: "weight", max_seq_length: 512 },
    error: `dataset.weight_field is "weight", but no row has that column`,
  },
  {
    name: "no row with the response template",
    lines: rowsWith({}),
    dataset: { response_template: "### Answer:" },
    error: "line 1 ",
  },
];

/** The demo's base model, with a chat template. */
async function writeModel(folder: string): Promise<void> {
  await Deno.mkdir(folder);
  for (const name of ["config.json", "tokenizer.json"]) {
    await Deno.copyFile(`${BASE}/${name}`, `${folder}/${name}`);
  }
  const config = JSON.parse(await Deno.readTextFile(`${BASE}/tokenizer_config.json`));
  const chatty = JSON.stringify({ ...config, chat_template: CHAT_TEMPLATE });
  await Deno.writeTextFile(`${folder}/tokenizer_config.json`, chatty);
}

/** The file that a preparation writes, or its error; and its warnings. */
async function outcomeOf(folder: string, { lines, dataset = {} }: Case, threads: number) {
  const path = `${folder}/rows.jsonl`;
  await Deno.writeTextFile(path, lines.join("\n"));
  const spec = parseJobRequest({ model: "base", training_file: "file-1", dataset }).spec;
  const files = [{ path, name: "rows.jsonl", sha256: null }];
  const request = {
    spec,
    files,
    modelFolder: `${folder}/base`,
    key: "k",
    outputPath: `${folder}/out`,
    threads,
  };
  try {
    using rows = await prepareRows(request);
    await writePrepared(request.outputPath, request.key, rows);
    return { warnings: rows.report.warnings, bytes: await Deno.readFile(request.outputPath) };
  } catch (thrown) {
    const { code, message, param } = failureOf(thrown);
    return { code, message, param };
  }
}

for (const one of CASES) {
  Deno.test(`any number of threads prepares the same: ${one.name}`, async () => {
    const folder = await Deno.makeTempDir();
    try {
      await writeModel(`${folder}/base`);
      const alone = await outcomeOf(folder, one, 1);
      if (one.error !== undefined) {
        assert("code" in alone && alone.code === "invalid_dataset", JSON.stringify(alone.warnings));
        assert(alone.message.includes(one.error), alone.message);
      } else {
        assert("bytes" in alone && alone.bytes !== undefined, alone.message);
        assert(alone.warnings.some((text) => text.includes(one.warning!)), JSON.stringify(alone.warnings));
      }
      // Threads that end with an error take as long to begin as others.
      for (const threads of one.error === undefined ? [2, 5] : [2]) {
        assertEquals(await outcomeOf(folder, one, threads), alone);
      }
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  });
}

Deno.test("threads are for large files, and for machines with cores and memory for them", () => {
  const [GiB, smallTokenizer, largeTokenizer] = [2 ** 30, 2 * 2 ** 20, 32 * 2 ** 20];
  const of = (bytes: number, processors: number, availableGib: number, tokenizer = smallTokenizer) =>
    threadsFor(bytes, tokenizer, { processors, availableBytes: availableGib * GiB });
  assertEquals(of(GiB, 1, 64), 1);
  assertEquals(of(2 ** 20, 16, 64), 1);
  assertEquals(of(GiB, 2, 16), 2);
  assertEquals(of(GiB, 16, 64), 6);
  assertEquals(of(GiB, 16, 3), 2);
  assertEquals(of(GiB, 16, 0.5), 1);
  assertEquals(of(GiB, 16, 16, largeTokenizer), 3);
});
