import { assertEquals, assertNotEquals } from "@std/assert";
import { datasetSchema } from "../../../shared/job/job_spec_schema.ts";
import { reachable, readImportGraph } from "../../../tests/house/import_graph.ts";
import { manifestOf } from "../../base_models/files.ts";
import { preparationKey, sourcesHash } from "./preparation_key.ts";

const FILES = [
  { name: "config.json", size: 1, sha256: "a" },
  { name: "model.safetensors", size: 1, sha256: "b" },
  { name: "tokenizer.json", size: 1, sha256: "c" },
];

async function withFolder(body: (folder: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir();
  try {
    await body(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

Deno.test("a key depends on the file, the settings, the tokenizer's files and the release, not on weights and order", () =>
  withFolder(async (folder) => {
    const keyOf = (
      change: {
        files?: typeof FILES;
        dataset?: object;
        fileSha256?: string;
        name?: string;
        version?: string;
      } = {},
    ) =>
      preparationKey({
        files: [{ path: "/data", name: change.name ?? "a.jsonl", sha256: change.fileSha256 ?? "f" }],
        version: change.version ?? "1",
        dataset: datasetSchema.parse(change.dataset ?? {}),
        model: { folder, manifest: manifestOf(change.files ?? FILES) },
      });
    const changed = (name: string) =>
      FILES.map((file) => file.name === name ? { ...file, sha256: "x" } : file);
    const key = await keyOf();
    assertEquals(await keyOf({ dataset: { shuffle: false, packing: true } }), key);
    assertEquals(await keyOf({ files: changed("model.safetensors") }), key);
    assertEquals(await keyOf({ files: FILES.toReversed() }), key);
    assertEquals(await keyOf({ name: "b.jsonl" }), key);
    const others = [
      await keyOf({ fileSha256: "g" }),
      await keyOf({ name: "a.csv" }),
      await keyOf({ version: "2" }),
      await keyOf({ dataset: { text_field: "content" } }),
      await keyOf({ dataset: { split: "train[:1]" } }),
      await keyOf({ files: changed("tokenizer.json") }),
      await keyOf({ files: changed("config.json") }),
      await keyOf({ files: [...FILES, { name: "chat_template.jinja", size: 1, sha256: "t" }] }),
    ];
    // A manifest does not name these.
    await Deno.mkdir(`${folder}/additional_chat_templates`);
    await Deno.writeTextFile(`${folder}/additional_chat_templates/tool_use.jinja`, "one");
    others.push(await keyOf());
    await Deno.writeTextFile(`${folder}/additional_chat_templates/tool_use.jinja`, "two");
    others.push(await keyOf());
    assertEquals(new Set([key, ...others]).size, others.length + 1);
  }));

Deno.test("a change of a source or the lock file, or a new file, is a new release; a change of a test is not", () =>
  withFolder(async (root) => {
    const write = async (path: string, text: string) => {
      await Deno.mkdir(`${root}/${path.slice(0, path.lastIndexOf("/"))}`, { recursive: true });
      await Deno.writeTextFile(`${root}/${path}`, text);
      return await sourcesHash(root);
    };
    await Deno.mkdir(`${root}/shared`);
    await write("coordinator/a.ts", "1");
    const first = await write("shared/data/b.ts", "1");
    assertEquals(await write("shared/data/b_test.ts", "1"), first);
    const hashes = [
      first,
      await write("shared/data/b.ts", "2"),
      await write("coordinator/planning/c.ts", "1"),
      await write("deno.lock", "{}"),
      await write("shared/data/engine.wasm", "1"),
    ];
    assertEquals(new Set(hashes).size, hashes.length);
    assertNotEquals(await sourcesHash(), first);
  }));

Deno.test("the release covers every module of a preparation", async () => {
  const graph = await readImportGraph();
  const modules = [...reachable(graph, "coordinator/planning/preparation/preparation_process.ts")];
  assertEquals(modules.includes("shared/data/tokenizer/tokenizer.ts"), true);
  assertEquals(modules.filter((path) => !/^(coordinator|shared)\//.test(path)), []);
});
