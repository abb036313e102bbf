import { assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { createHash } from "node:crypto";
import { LoraFleetError } from "../../shared/errors.ts";
import type { HubProgress } from "../../shared/hub/download_repo.ts";
import { findCommit } from "../../shared/hub/repo_files.ts";
import { parseHubName } from "../../shared/hub/repo_name.ts";
import type { HubOptions } from "../../shared/hub/requests.ts";
import { type Hub, startHub } from "../../tests/hub/hub.ts";
import { downloadDescription, downloadModel } from "./hub_model.ts";

const WEIGHTS = "weights ".repeat(1000);
const FILES = {
  "README.md": "not needed",
  "config.json": "{}",
  "tokenizer.json": "[]",
  "model.safetensors": WEIGHTS,
};
const sha256 = (text: string) => createHash("sha256").update(text).digest("hex");
const NAME = parseHubName("org/tiny")!;

async function withHub(body: (hub: Hub, options: HubOptions) => Promise<void>): Promise<void> {
  const cacheFolder = await Deno.makeTempDir();
  await using hub = await startHub();
  await hub.add("model", "org/tiny", FILES);
  const { endpoint } = hub;
  const patience = { firstRetryMs: 1, tries: 3 };
  try {
    await body(hub, { endpoint, token: null, cacheFolder, offline: false, patience });
  } finally {
    await Deno.remove(cacheFolder, { recursive: true });
  }
}

Deno.test("a model is downloaded once, without what training does not need, and then found offline", () =>
  withHub(async (hub, options) => {
    const progress: HubProgress[] = [];
    const onProgress = (step: HubProgress) => void progress.push(step);
    const folder = await downloadModel(NAME, options, { onProgress });
    const commit = hub.repo("model", "org/tiny").resolve("main")!;
    assertEquals(folder, `${options.cacheFolder}/models--org--tiny/snapshots/${commit}`);
    const files = [...new Set(progress.map(({ path }) => path))];
    assertEquals(files, ["config.json", "tokenizer.json", "model.safetensors"]);
    const all = WEIGHTS.length + 4;
    assertEquals(progress.at(-1), { path: "model.safetensors", doneBytes: all, totalBytes: all });
    assertEquals(await Deno.readTextFile(`${folder}/model.safetensors`), WEIGHTS);
    assertEquals(await Deno.readLink(`${folder}/model.safetensors`), `../../blobs/${sha256(WEIGHTS)}`);
    const steps = progress.length;
    assertEquals(await downloadModel(NAME, options, { onProgress }), folder);
    assertEquals(progress.length, steps);
    const before = hub.requests.length;
    const offline = { ...options, offline: true };
    assertEquals(await downloadModel(NAME, offline), folder);
    assertEquals((await findCommit({ ...NAME, revision: commit }, offline)).commit, commit);
    assertEquals(hub.requests.length, before);
    const away = { ...options, endpoint: "http://127.0.0.1:9" };
    assertEquals(await downloadModel(NAME, away), folder, "a hub that is away: the cache is good enough");
  }));

Deno.test("a plan's description has no weights, and is no base model yet", () =>
  withHub(async (_hub, options) => {
    const files: string[] = [];
    const onProgress = ({ path }: HubProgress) => void files.push(path);
    const folder = await downloadDescription(NAME, options, { onProgress });
    assertEquals([...new Set(files)], ["config.json", "tokenizer.json"]);
    await assertRejects(() => Deno.stat(`${folder}/model.safetensors`), Deno.errors.NotFound);
    await assertRejects(() => downloadModel(NAME, { ...options, offline: true }), LoraFleetError);
    assertEquals(await downloadModel(NAME, options), folder);
    assertEquals(await Deno.readTextFile(`${folder}/model.safetensors`), WEIGHTS);
  }));

Deno.test("additional chat templates are downloaded, other folders are not", () =>
  withHub(async (hub, options) => {
    await hub.repo("model", "org/tiny").add({
      "additional_chat_templates/tool_use.jinja": "T",
      "additional_chat_templates/notes.txt": "no template",
      "onnx/config.json": "{}",
    });
    const folder = await downloadModel(NAME, options);
    assertEquals(await Deno.readTextFile(`${folder}/additional_chat_templates/tool_use.jinja`), "T");
    for (const name of ["additional_chat_templates/notes.txt", "onnx/config.json"]) {
      await assertRejects(() => Deno.stat(`${folder}/${name}`), Deno.errors.NotFound);
    }
    assertEquals(hub.asked(/\/tree\/.*onnx/), []);
  }));

Deno.test("a download that was interrupted is no base model while the hub is away", () =>
  withHub(async (hub, options) => {
    hub.faults.add({ on: /^GET \/cdn\//, kind: "status", status: 503, times: 99 });
    const half = await assertRejects(() => downloadModel(NAME, options), LoraFleetError, "status 503");
    assertEquals([half.code, half.param], ["model_not_found", "model"]);
    const gone = await assertRejects(
      // The revision is recorded only once the model is whole, so the commit has to be named.
      () =>
        downloadModel({ ...NAME, revision: hub.repo("model", "org/tiny").resolve("main")! }, {
          ...options,
          offline: true,
        }),
      LoraFleetError,
      "in the cache in part (there are no weights",
    );
    assertStringIncludes(gone.message, "HF_HUB_OFFLINE is set");
  }));

Deno.test("a repository without a config or weights is no base model", () =>
  withHub(async (hub, options) => {
    await hub.add("model", "org/bare", { "README.md": "nothing" });
    const bare = await assertRejects(
      () => downloadModel(parseHubName("org/bare")!, options),
      LoraFleetError,
      '"config.json" is missing',
    );
    assertEquals(bare.code, "invalid_model");
  }));
