import { assertEquals, assertRejects } from "@std/assert";
import { createHash } from "node:crypto";
import { LoraFleetError } from "../../shared/errors.ts";
import { type Hub, startHub } from "../../tests/hub/hub.ts";
import { createHubDatasets, type HubDataset, type HubDatasets } from "./hub_dataset.ts";

const ROWS = { path: "org/rows", split: "train" };

interface World {
  readonly hub: Hub;
  readonly datasets: HubDatasets;
  readonly offline: HubDatasets;
}

async function withHub(body: (world: World) => Promise<void>): Promise<void> {
  const cacheFolder = await Deno.makeTempDir();
  await using hub = await startHub(null, { pageSize: 2 });
  await hub.add("dataset", "org/rows", {
    "README.md": "---\nconfigs:\n- config_name: en\n  default: true\n  data_files:\n  - split: train\n" +
      "    path: en/*.jsonl\n  - split: test\n    path: en/test.csv\n- config_name: ko\n  data_files: ko.csv\n---\n",
    "en/a.jsonl": '{"text": "a"}\n',
    "en/b.jsonl": '{"text": "b"}\n',
    "en/test.csv": "text\nc\n",
    "ko.csv": "text\nd\n",
  });
  const options = { endpoint: hub.endpoint, token: null, cacheFolder, offline: false };
  const fast = { ...options, patience: { firstRetryMs: 1, tries: 3 } };
  try {
    await body({
      hub,
      datasets: createHubDatasets(fast),
      offline: createHubDatasets({ ...fast, offline: true }),
    });
  } finally {
    await Deno.remove(cacheFolder, { recursive: true });
  }
}

Deno.test("the split's files are downloaded, no others, and their ids make the dataset's hash", () =>
  withHub(async ({ hub, datasets, offline }) => {
    const commit = hub.repo("dataset", "org/rows").resolve("main")!;
    assertEquals(await datasets.check(ROWS), { commit, warnings: [] });
    const pinned: HubDataset = { ...ROWS, revision: commit };
    const { files, size, sha256 } = await datasets.fetch(pinned);
    assertEquals(files.map(({ name, split }) => [name, split]), [["en/a.jsonl", "train"], [
      "en/b.jsonl",
      "train",
    ]]);
    assertEquals(await Deno.readTextFile(files[0]!.path), '{"text": "a"}\n');
    assertEquals(hub.asked(/resolve-cache.*(test|ko)\.csv/), []);
    const idOf = (text: string) => createHash("sha1").update(`blob ${text.length}\0${text}`).digest("hex");
    const lines = ["a", "b"].map((text) => `${idOf(`{"text": "${text}"}\n`)}  train  en/${text}.jsonl\n`);
    assertEquals([size, sha256], [28, createHash("sha256").update(lines.join("")).digest("hex")]);
    await hub.repo("dataset", "org/rows").add({ "en/b.jsonl": '{"text": "B"}\n' });
    assertEquals((await datasets.fetch(pinned)).sha256, sha256, "the commit stays what it was");
    const newer = await datasets.fetch(ROWS);
    assertEquals([newer.sha256 === sha256, await Deno.readTextFile(newer.files[1]!.path)], [
      false,
      '{"text": "B"}\n',
    ]);
    const before = hub.requests.length;
    assertEquals((await offline.fetch(pinned)).sha256, sha256);
    assertEquals(hub.requests.length, before);
    await assertRejects(
      () => offline.fetch({ ...pinned, name: "ko" }),
      LoraFleetError,
      '"ko.csv" of "org/rows" is not in the cache, and HF_HUB_OFFLINE is set',
    );
  }));

Deno.test("name, split, and revision choose; what does not exist is refused with what does", () =>
  withHub(async ({ hub, datasets }) => {
    const ko = await datasets.fetch({ ...ROWS, name: "ko", split: "train[:50%]" });
    assertEquals(ko.files.map(({ name }) => name), ["ko.csv"]);
    await hub.repo("dataset", "org/rows").add(
      { "README.md": "no metadata", "train.csv": "text\nx\n" },
      "old",
    );
    const cases: [HubDataset, string, string][] = [
      [{ ...ROWS, name: "fr" }, 'no configuration "fr"; it has "en", "ko"', "dataset.name"],
      [
        { ...ROWS, split: "dev" },
        'no split "dev" in its configuration "en"; it has "train"',
        "dataset.split",
      ],
      [{ ...ROWS, revision: "gone" }, 'dataset "org/rows" has no revision "gone"', "dataset.path"],
      [{ ...ROWS, path: "org/none" }, 'no dataset "org/none"', "dataset.path"],
      [{ ...ROWS, path: "rows" }, '"org/name", is needed', "dataset.path"],
      [{ ...ROWS, revision: "../x" }, "a branch, a tag or a commit", "dataset.revision"],
    ];
    for (const [dataset, part, param] of cases) {
      const error = await assertRejects(() => datasets.check(dataset), LoraFleetError, part);
      assertEquals([error.code, error.param], ["invalid_request", param]);
    }
    assertEquals((await datasets.fetch({ ...ROWS, revision: "old" })).files.map(({ name }) => name), [
      "train.csv",
    ]);
  }));

Deno.test("a dataset without readable files comes from the hub's conversion, whose commit the job keeps", () =>
  withHub(async ({ hub, datasets }) => {
    const repo = await hub.add("dataset", "org/script", { "script.py": "…", "data/train.arrow": "…" });
    await assertRejects(
      () => datasets.check({ ...ROWS, path: "org/script" }),
      LoraFleetError,
      "the hub has not converted it to Parquet",
    );
    const converted = await repo.add({
      "script.py": "",
      "default/train/0000.parquet": "PAR1a",
      "default/train/0001.parquet": "PAR1b",
      "default/partial-test/0000.parquet": "PAR1c",
    }, "work");
    // The conversion's branch holds nothing else.
    const tree = [...repo.commits.get(converted)!].filter(([path]) => path.startsWith("default/"));
    const commit = repo.commit(new Map(tree), "refs/convert/parquet");
    const { commit: found, warnings } = await datasets.check({ ...ROWS, path: "org/script" });
    assertEquals([found, warnings.length], [commit, 1]);
    const pinned = { ...ROWS, path: "org/script", revision: found };
    const { files } = await datasets.fetch(pinned);
    assertEquals(files.map(({ name }) => name), ["default/train/0000.parquet", "default/train/0001.parquet"]);
    const test = await datasets.check({ ...pinned, split: "test" });
    assertEquals(test.warnings, ["The hub has converted only the first rows of the dataset to Parquet."]);
    const main = repo.resolve("main")!;
    await assertRejects(
      () => datasets.check({ ...ROWS, path: "org/script", revision: main }),
      LoraFleetError,
      "the default branch to Parquet, not other revisions",
    );
  }));

Deno.test("a dataset whose files are gated says where to accept", () =>
  withHub(async ({ hub, datasets }) => {
    await hub.add("dataset", "meta/gated", { "train.jsonl": "{}" }, { gated: "auto" });
    const error = await assertRejects(() => datasets.fetch({ ...ROWS, path: "meta/gated" }), LoraFleetError);
    assertEquals([error.code, error.param], ["invalid_request", "dataset.path"]);
    assertEquals(
      error.message.includes(`accept its licence at ${hub.endpoint}/datasets/meta/gated and`),
      true,
    );
  }));

Deno.test("a download that breaks is resumed, and one file's wrong bytes are refused", () =>
  withHub(async ({ hub, datasets }) => {
    const text = Array.from({ length: 20_000 }, (_, row) => `{"text": "row ${row}"}\n`).join("");
    await hub.add("dataset", "org/large", { "train.jsonl": text });
    hub.faults.add({ on: /resolve-cache.*train/, kind: "break", bytes: 100_000 });
    const { files } = await datasets.fetch({ ...ROWS, path: "org/large" });
    assertEquals(await Deno.readTextFile(files[0]!.path), text);
    assertEquals(hub.asked(/resolve-cache.*train.*bytes=100000-/).length, 1);
  }));
