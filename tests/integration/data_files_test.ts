/** Files of every format through a real coordinator: uploaded, prepared by its process, reported in the job's events. */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { goldenPath } from "../golden/data_goldens.ts";
import { jobOf, startCoordinatorChild, until, withFolder } from "./coordinator_child.ts";

const CSV = "question,answer\n" +
  Array.from({ length: 20 }, (_, i) => `"What is ${i}, plus 1?",${i + 1}\n`).join("");
const KOREAN = Array.from({ length: 10 }, (_, i) => `<usr> 안녕 ${i}<bot> 네 ${i}\n`).join("");
type Row = readonly [name: string, content: string | Uint8Array<ArrayBuffer>, dataset: object, says: string];
const PREPARED: readonly Row[] = [
  [
    "qa.csv",
    CSV,
    { column_mapping: { prompt: "question", completion: "answer" }, split: "train[:50%]" },
    "10 examples in ",
  ],
  ["qa.tsv", "prompt\tcompletion\na, b\tc\n", {}, "1 example in 1 row"],
  [
    "rows.json",
    JSON.stringify({ data: [{ text: "a b" }, { text: "c d" }] }),
    { shuffle_seed: 42 },
    "2 examples in 1 row",
  ],
  ["texts.txt", KOREAN, { response_template: "<bot>", instruction_template: "<usr>" }, "10 examples in "],
  ["times.parquet", new Uint8Array(), { text_field: "day", split: "train[:1]" }, "1 example in 1 row"],
];

const FAILED: readonly Row[] = [
  [
    "broken.csv",
    "text\n" + "plain\n".repeat(20_000) + '"a\n"b"\n',
    {},
    'line 20002 opens a quote (") that closes in line 20003',
  ],
  [
    "no_form.parquet",
    new Uint8Array(),
    {},
    'row 1 has "turns" (list<{speaker: string, words: list<string>}>)',
  ],
  [
    "short.jsonl",
    '{"text":"a b"}\n',
    { split: "train[10:20]" },
    "dataset.split train[10:20] has no rows: train has 1",
  ],
  [
    "qa.csv",
    CSV,
    { column_mapping: { prompt: "frage", completion: "answer" } },
    'neither "prompt" and "completion"',
  ],
];

async function post(url: string, init: RequestInit) {
  const response = await fetch(url, { method: "POST", ...init });
  const body = await response.json();
  assertEquals(response.status, 200, JSON.stringify(body));
  return body;
}

async function submit(api: string, [name, content, dataset]: Row): Promise<string> {
  const form = new FormData();
  form.append("purpose", "fine-tune");
  const bytes = name.endsWith(".parquet")
    ? await Deno.readFile(goldenPath(`data/formats/parquet/${name}`))
    : content;
  form.append("file", new File([bytes], name));
  const { id: training_file } = await post(`${api}/files`, { body: form });
  const body = JSON.stringify({ model: "base", training_file, dataset: { max_seq_length: 256, ...dataset } });
  return (await post(`${api}/fine_tuning/jobs`, { body, headers: { "content-type": "application/json" } }))
    .id;
}

async function messagesOf(api: string, id: string): Promise<string> {
  const { data } = await (await fetch(`${api}/fine_tuning/jobs/${id}/events?limit=100`)).json();
  return data.map(({ message }: { message: string }) => message).join("\n");
}

Deno.test("files of every format are prepared, and unusable ones refused with line, row or split", () =>
  withFolder(async (folder) => {
    await using coordinator = startCoordinatorChild(`${folder}/data`);
    await coordinator.joinUrl();
    const api = coordinator.api();
    for (const row of PREPARED) {
      const id = await submit(api, row);
      await until(`the data of ${row[0]}`, async () => (await jobOf(api, id)).status !== "validating_files");
      const { status, error } = await jobOf(api, id);
      assert(status !== "failed", `${row[0]}: ${JSON.stringify(error)}`);
      assertStringIncludes(await messagesOf(api, id), row[3], row[0]);
      await (await fetch(`${api}/fine_tuning/jobs/${id}/cancel`, { method: "POST" })).body?.cancel();
    }
    for (const row of FAILED) {
      const id = await submit(api, row);
      await until(`the end of ${row[0]}`, async () => (await jobOf(api, id)).status === "failed");
      const { error } = await jobOf(api, id);
      assertStringIncludes(JSON.parse(JSON.stringify(error)).message, row[3], row[0]);
    }
  }));
