import { assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { createHash } from "node:crypto";
import type { Clock } from "../clock.ts";
import { LoraFleetError } from "../errors.ts";
import { rateLimit } from "../../tests/hub/faults.ts";
import { type Hub, startHub, STRANGER_TOKEN, WRITER_TOKEN } from "../../tests/hub/hub.ts";
import { type HubProgress, openRepo } from "./download_repo.ts";
import type { HubOptions } from "./requests.ts";
import type { RepoName } from "./repo_name.ts";

const WEIGHTS = Array.from({ length: 30_000 }, (_, index) => `row ${index}\n`).join("");
const NAME: RepoName = { type: "model", repo: "org/tiny", revision: "main" };
const OBJECT = /^GET \/cdn\//;
const sha256 = (text: string) => createHash("sha256").update(text).digest("hex");

interface World {
  readonly hub: Hub;
  readonly options: HubOptions;
  /** Waits, in the order in which they were asked for. */
  readonly waits: number[];
  readonly progress: HubProgress[];
  get(name?: RepoName, options?: HubOptions, signal?: AbortSignal): Promise<string>;
}

async function withHub(body: (world: World) => Promise<void>, isXet = false): Promise<void> {
  const cacheFolder = await Deno.makeTempDir();
  await using hub = await startHub(null, { pageSize: 2, isXet });
  await hub.add("model", "org/tiny", {
    "config.json": "{}",
    "a/b/c.json": "[]",
    "model.safetensors": WEIGHTS,
  });
  const waits: number[] = [];
  /** Waits are noted and short; silence is measured by the system's clock. */
  const clock: Clock = {
    now: () => Date.now(),
    sleep: (milliseconds, signal) => {
      if (milliseconds !== 300) waits.push(milliseconds);
      return new Promise((resolve, reject) => {
        const timer = setTimeout(resolve, milliseconds === 300 ? 300 : 1);
        signal?.addEventListener("abort", () => (clearTimeout(timer), reject(signal.reason)), { once: true });
      });
    },
  };
  const { endpoint } = hub;
  const options = { endpoint, token: null, cacheFolder, offline: false, clock, patience: { stallMs: 300 } };
  const progress: HubProgress[] = [];
  const get = async (name = NAME, hubOptions: HubOptions = options, signal?: AbortSignal) => {
    const repo = await openRepo(name, hubOptions, signal);
    const { files } = await repo.list("", true);
    await repo.fetch([...files.values()], (step) => progress.push(step));
    await repo.record();
    return repo.folder;
  };
  try {
    await body({ hub, options, waits, progress, get });
  } finally {
    await Deno.remove(cacheFolder, { recursive: true });
  }
}

const weightsIn = (folder: string) => Deno.readTextFile(`${folder}/model.safetensors`);
const blobOf = ({ cacheFolder }: HubOptions) => `${cacheFolder}/models--org--tiny/blobs/${sha256(WEIGHTS)}`;

Deno.test("a snapshot has Python's layout, folders and pages included", () =>
  withHub(async ({ hub, options, get }) => {
    const folder = await get();
    const commit = hub.repo("model", "org/tiny").resolve("main");
    const root = `${options.cacheFolder}/models--org--tiny`;
    assertEquals(folder, `${root}/snapshots/${commit}`);
    assertEquals(await Deno.readTextFile(`${root}/refs/main`), commit);
    assertEquals(await Deno.readTextFile(`${folder}/a/b/c.json`), "[]");
    const gitId = createHash("sha1").update("blob 2\0[]").digest("hex");
    assertEquals(await Deno.readLink(`${folder}/a/b/c.json`), `../../../../blobs/${gitId}`);
    assertEquals(await weightsIn(folder), WEIGHTS);
    assertEquals(await Deno.stat(`${options.cacheFolder}/CACHEDIR.TAG`).then(({ isFile }) => isFile), true);
    const left = await Array.fromAsync(Deno.readDir(`${root}/blobs`));
    assertEquals(left.filter(({ name }) => name.includes("incomplete")), []);
  }));

Deno.test("a body that breaks is continued with Range and If-Range, byte for byte", () =>
  withHub(async ({ hub, get, progress, waits }) => {
    hub.faults.add(
      { on: OBJECT, kind: "break", bytes: 100_000 },
      { on: OBJECT, kind: "short", bytes: 50_000 },
      { on: OBJECT, kind: "stall", bytes: 10_000 },
    );
    assertEquals(await weightsIn(await get()), WEIGHTS);
    assertEquals(hub.asked(OBJECT).length, 4);
    const bytes = progress.map(({ doneBytes }) => doneBytes);
    assertEquals(bytes, bytes.toSorted((a, b) => a - b), "no byte is fetched twice");
    assertEquals(waits.length, 3);
  }));

Deno.test("a hub that goes down half-way is waited for, and the next process resumes where the last one stopped", () =>
  withHub(async ({ hub, options, get }) => {
    hub.faults.add({ on: OBJECT, kind: "break", bytes: 120_000 });
    hub.faults.add({ on: OBJECT, kind: "status", status: 502, times: 99 });
    const down = await assertRejects(() => get(), LoraFleetError, "status 502");
    assertStringIncludes(down.message, `120000 of ${WEIGHTS.length} bytes are kept for the next try`);
    assertEquals([down.code, down.param], ["model_not_found", "model"]);
    assertEquals((await Deno.stat(`${blobOf(options)}.incomplete`)).size, 120_000);
    hub.faults.clear();
    await hub.down();
    const away = { ...options, patience: { ...options.patience, tries: 2 } };
    await assertRejects(() => get(NAME, away), LoraFleetError, "no base model");
    hub.up();
    hub.requests.length = 0;
    assertEquals(await weightsIn(await get()), WEIGHTS);
    assertEquals(hub.asked(OBJECT).length, 1);
  }));

Deno.test("a rate limit's own delay is kept, and one beyond our patience is reported", () =>
  withHub(async ({ hub, waits, get }) => {
    hub.faults.add(rateLimit(/tree/, 55, 2));
    await get();
    assertEquals(waits.length, 2);
    assertEquals(waits.every((wait) => wait >= 55_000 && wait <= 57_000), true, `${waits}`);
    hub.faults.add(rateLimit(/revision/, 9000, 9));
    await hub.add("model", "org/other", { "config.json": "{}" });
    await assertRejects(() => get({ ...NAME, repo: "org/other" }), LoraFleetError, "status 429");
  }));

Deno.test("wrong bytes are fetched once more, then refused, and never get a blob's name", () =>
  withHub(async ({ hub, options, get }) => {
    hub.faults.add({ on: OBJECT, kind: "corrupt", at: 70_000 });
    assertEquals(await weightsIn(await get()), WEIGHTS);
    await Deno.remove(options.cacheFolder, { recursive: true });
    hub.faults.add({ on: OBJECT, kind: "corrupt", at: 70_000, times: 2 });
    const wrong = await assertRejects(() => get(), LoraFleetError, `${sha256(WEIGHTS)} is announced`);
    assertEquals([wrong.code, wrong.param], ["corrupt", "model.safetensors"]);
    await assertRejects(() => Deno.stat(blobOf(options)), Deno.errors.NotFound);
    hub.faults.add({ on: /resolve-cache.*config/, kind: "corrupt", at: 0, times: 2 });
    await Deno.remove(options.cacheFolder, { recursive: true });
    const small = await assertRejects(() => get(), LoraFleetError, "has the git id");
    assertEquals(small.param, "config.json");
  }));

Deno.test("a partial file of different bytes does not spoil the download", () =>
  withHub(async ({ options, get, hub }) => {
    await Deno.mkdir(`${options.cacheFolder}/models--org--tiny/blobs`, { recursive: true });
    const part = `${blobOf(options)}.incomplete`;
    await Deno.writeTextFile(part, "W".repeat(1000));
    assertEquals(await weightsIn(await get()), WEIGHTS);
    assertEquals(hub.asked(OBJECT).length, 2, "the rest, and then all of it");
    await Deno.remove(`${options.cacheFolder}/models--org--tiny`, { recursive: true });
    await Deno.mkdir(`${options.cacheFolder}/models--org--tiny/blobs`, { recursive: true });
    await Deno.writeTextFile(part, WEIGHTS + "more");
    assertEquals(await weightsIn(await get()), WEIGHTS);
  }));

Deno.test("two downloads at once share the work and do not spoil each other", () =>
  withHub(async ({ hub, get }) => {
    hub.faults.add({ on: OBJECT, kind: "slow", pauseMs: 10 });
    const folders = await Promise.all([get(), get()]);
    assertEquals(await weightsIn(folders[0]!), WEIGHTS);
    assertEquals(hub.asked(OBJECT).length, 1);
  }));

Deno.test("gated: where the licence is accepted, and which variable holds the token", () =>
  withHub(async ({ hub, options, get }) => {
    await hub.add("model", "meta/gated", { "config.json": "{}" }, { gated: "manual" });
    const gated = { ...NAME, repo: "meta/gated" };
    const none = await assertRejects(() => get(gated), LoraFleetError);
    assertEquals(
      none.message,
      `"meta/gated" is gated: accept its licence at ${hub.endpoint}/meta/gated and set HF_TOKEN to a token of the ` +
        "same account",
    );
    assertEquals(none.code, "model_not_found");
    const stranger = { ...options, token: STRANGER_TOKEN };
    await assertRejects(() => get(gated, stranger), LoraFleetError, "the account of HF_TOKEN has no access");
    await hub.add("model", "org/gated", { "config.json": "{}" }, { gated: "auto" });
    await get({ ...NAME, repo: "org/gated" }, { ...options, token: WRITER_TOKEN });
    assertEquals(hub.asked(/gated.*config/).length > 0, true);
  }));

Deno.test("unknown, private, a revision that is gone, a token that is none, offline", () =>
  withHub(async ({ hub, options, get }) => {
    await hub.add("dataset", "org/secret", { "a.json": "{}" }, { isPrivate: true });
    const cases: [RepoName, HubOptions, string][] = [
      [{ ...NAME, repo: "org/none" }, options, "status 401 (Repository not found); no HF_TOKEN is set"],
      [{ ...NAME, repo: "org/none" }, { ...options, token: STRANGER_TOKEN }, "status 404"],
      [{ ...NAME, revision: "gone" }, options, 'base model "org/tiny" has no revision "gone" on'],
      [{ type: "dataset", repo: "org/secret", revision: "main" }, options, 'no dataset "org/secret"'],
      [NAME, { ...options, token: "hf_wrong" }, "HF_TOKEN is no token of this hub"],
      [NAME, { ...options, offline: true }, "it is not in the cache, and HF_HUB_OFFLINE is set"],
    ];
    for (const [name, hubOptions, part] of cases) {
      const error = await assertRejects(() => get(name, hubOptions), LoraFleetError, part);
      const [code, param] = name.type === "model"
        ? ["model_not_found", "model"]
        : ["invalid_request", "dataset.path"];
      assertEquals([error.code, error.param], [code, param]);
    }
    const branch = await hub.repo("model", "org/tiny").add({ "config.json": '{"v": 1}' }, "v1");
    assertEquals((await get({ ...NAME, revision: "v1" })).endsWith(branch), true);
  }));

Deno.test("an abort ends a download, and its bytes are kept", () =>
  withHub(async ({ hub, options, get }) => {
    const stopping = new AbortController();
    hub.faults.add({ on: OBJECT, kind: "slow", pauseMs: 20 });
    const stop = new LoraFleetError("aborted", "the job was cancelled");
    setTimeout(() => stopping.abort(stop), 60);
    assertEquals(await assertRejects(() => get(NAME, options, stopping.signal)), stop);
    await assertRejects(() => Deno.stat(blobOf(options)), Deno.errors.NotFound);
  }));

Deno.test("a file's path that leads out of the cache is refused", () =>
  withHub(async ({ hub, get }) => {
    await hub.repo("model", "org/tiny").add({ "../../../evil.json": "{}" });
    const error = await assertRejects(() => get(), LoraFleetError, "the hub lists a file");
    assertEquals(error.code, "corrupt");
  }));

Deno.test("files in xet's storage come over its bridge, go on after a cut, and are known by their SHA-256", () =>
  withHub(async ({ hub, options, get }) => {
    const bridge = /^GET \/xet-bridge-us\//;
    hub.faults.add({ on: bridge, kind: "break", bytes: 100_000 });
    // The bridge refuses a token beside its signature, as S3 does.
    const folder = await get(NAME, { ...options, token: WRITER_TOKEN });
    assertEquals(await Deno.readTextFile(`${folder}/model.safetensors`), WEIGHTS);
    const asked = hub.asked(bridge);
    assertEquals(asked.length, 2);
    assertStringIncludes(asked[1]!, "bytes=");
    assertEquals(hub.asked(/xet-read-token|reconstructions/), []);
    const link = await Deno.readLink(`${folder}/model.safetensors`);
    assertEquals(link.endsWith(sha256(WEIGHTS)), true);
    // Found in the cache again, without a request for bytes.
    await get();
    assertEquals(hub.asked(bridge).length, 2);
  }, true));
