import { assertEquals, assertMatch, assertNotEquals, assertRejects } from "@std/assert";
import { join } from "@std/path";
import { createHash } from "node:crypto";
import { systemClock } from "../../shared/clock.ts";
import { LoraFleetError } from "../../shared/errors.ts";
import { LIMITS } from "../../shared/protocol/limits.ts";
import type { ModelManifest } from "../../shared/model/model_manifest.ts";
import { type Hub, startHub } from "../../tests/hub/hub.ts";
import { BaseModels } from "./base_model.ts";

const FILES = { "config.json": `{"a": 1}`, "model.safetensors": "weights", "tokenizer.json": "{}" };
const sha256 = (text: string) => createHash("sha256").update(text).digest("hex");
const MODEL: ModelManifest = {
  hash: sha256("the model"),
  files: Object.entries(FILES).map(([name, text]) => ({ name, size: text.length, sha256: sha256(text) })),
};
const SOURCE = { httpUrl: "http://coordinator", token: "secret" };

interface World {
  readonly cache: string;
  /** The coordinator's folder of the base model. */
  readonly there: string;
  readonly requests: string[];
  readonly log: string[];
  readonly hub: Hub;
  readonly hubCache: string;
  open(): BaseModels;
  find(modelFolder?: string): Promise<string>;
}

async function inWorld(work: (world: World) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir({ prefix: "lorafleet-models-" });
  await using hub = await startHub();
  const hubCache = join(folder, "hub");
  const requests: string[] = [];
  const log: string[] = [];
  const cache = join(folder, "cache");
  const there = join(folder, "there");
  await Deno.mkdir(there);
  for (const [name, text] of Object.entries(FILES)) await Deno.writeTextFile(join(there, name), text);
  const fetch = (url: string, init: RequestInit): Promise<Response> => {
    requests.push(url);
    const name = url.split("/").at(-1)!;
    assertEquals(new Headers(init.headers).get("authorization"), "Bearer secret");
    const text = FILES[name as keyof typeof FILES];
    const headers = { "content-range": `bytes 0-${text.length - 1}/${text.length}` };
    return Promise.resolve(new Response(text, { status: 206, headers }));
  };
  const open = () =>
    new BaseModels({
      cacheFolder: cache,
      hub: {
        ...{ endpoint: hub.endpoint, token: null, offline: false, cacheFolder: hubCache },
        patience: { firstRetryMs: 1 },
      },
      fetch,
      clock: systemClock,
      limits: { ...LIMITS, retryIntervalMs: 5 },
      log: (_, message) => void log.push(message),
    });
  const find = (modelFolder = "/no/such/folder") =>
    open().find(SOURCE, { model: MODEL, modelFolder }, new AbortController().signal);
  try {
    await work({ cache, there, requests, log, hub, hubCache, open, find });
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

async function contentsOf(folder: string): Promise<Record<string, string>> {
  const names = (await Array.fromAsync(Deno.readDir(folder))).map(({ name }) => name).sort();
  return Object.fromEntries(
    await Promise.all(names.map(async (name) => [name, await Deno.readTextFile(join(folder, name))])),
  );
}

Deno.test("the coordinator's folder on this machine is used as it is", () =>
  inWorld(async ({ there, find, requests }) => {
    assertEquals(await find(there), there);
    assertEquals(requests, []);
  }));

Deno.test("a folder with additional files is used through links to the model's files", () =>
  inWorld(async ({ there, find, requests }) => {
    await Deno.writeTextFile(join(there, "model-00001-of-00002.safetensors"), "of a different model");
    for (let time = 0; time < 2; time++) {
      const folder = await find(there);
      assertNotEquals(folder, there);
      assertEquals(await contentsOf(folder), FILES);
    }
    assertEquals(requests, []);
  }));

Deno.test("a folder with different bytes under the same names is not used", () =>
  inWorld(async ({ there, find, requests }) => {
    await Deno.writeTextFile(join(there, "model.safetensors"), "WEIGHTS");
    const folder = await find(there);
    assertNotEquals(folder, there);
    assertEquals(await contentsOf(folder), FILES);
    assertEquals(requests.length, 3);
  }));

Deno.test("a missing base model is downloaded once, by its hash", () =>
  inWorld(async ({ cache, find, requests, log }) => {
    const folder = await find();
    assertEquals(folder, join(cache, "models", MODEL.hash));
    assertEquals(await contentsOf(folder), FILES);
    assertEquals(requests[1], `http://coordinator/v1/base-models/${MODEL.hash}/files/model.safetensors`);
    assertMatch(log[0]!, /"config.json" is missing: downloading its 8 bytes/);
    await find();
    assertEquals(requests.length, 3);
  }));

Deno.test("a changed file in the cache is downloaded again", () =>
  inWorld(async ({ find, requests, log }) => {
    const folder = await find();
    await Deno.writeTextFile(join(folder, "model.safetensors"), "WEIGHTS");
    await Deno.utime(join(folder, "model.safetensors"), 1, 1);
    assertEquals(await contentsOf(await find()), FILES);
    assertEquals(requests.length, 4);
    assertMatch(log.at(-1)!, /"model.safetensors" has the SHA-256 .*, the base model's has/);
  }));

Deno.test("workers that share a machine's cache download a base model once", () =>
  inWorld(async ({ find, requests }) => {
    const [one, other] = await Promise.all([find(), find()]);
    assertEquals(one, other);
    assertEquals(requests.length, 3);
    assertEquals(await contentsOf(one), FILES);
  }));

Deno.test("a cache that cannot be written is reported as such", () =>
  inWorld(async ({ cache, find }) => {
    await Deno.writeTextFile(cache, "a file where the folder should be");
    const error = await assertRejects(() => find(), LoraFleetError, "cannot write");
    assertEquals(error.code, "storage");
  }));

/** The coordinator's name of a snapshot. */
const snapshot = (commit: string) => `/somewhere/models--org--tiny/snapshots/${commit}`;

Deno.test("a base model from the hub is downloaded there, into the cache that Python's tools share, once", () =>
  inWorld(async ({ cache, requests, log, find, hub, hubCache }) => {
    const { commits } = await hub.add("model", "org/tiny", { ...FILES, "README.md": "not needed" });
    const commit = [...commits.keys()].at(-1)!;
    assertEquals(await find(snapshot(commit)), join(hubCache, "models--org--tiny", "snapshots", commit));
    assertEquals(await contentsOf(join(hubCache, "models--org--tiny", "snapshots", commit)), FILES);
    assertEquals([requests, hub.asked(/GET .*\/resolve\//).length], [[], 3]);
    assertMatch(log[0]!, /Downloading \d+ bytes of org\/tiny from http/);
    await hub.down();
    await find(snapshot(commit));
    assertEquals(await Deno.stat(join(cache, "models", MODEL.hash, "config.json")).catch(() => null), null);
  }));

Deno.test("a hub that breaks is resumed; one that stays away, or has other bytes, leaves it to the coordinator", () =>
  inWorld(async ({ requests, log, find, hub, hubCache }) => {
    const { commits } = await hub.add("model", "org/tiny", FILES);
    hub.faults.add({ on: /^GET \/cdn\//, kind: "break", bytes: 3 });
    await find(snapshot([...commits.keys()].at(-1)!));
    assertEquals(requests, []);
    await Deno.remove(hubCache, { recursive: true });
    const other = await hub.repo("model", "org/tiny").add({ "model.safetensors": "WEIGHTS" });
    assertEquals(await contentsOf(await find(snapshot(other))), FILES);
    assertEquals(requests.length, 3);
    assertMatch(log.find((line) => line.startsWith("not from the hub"))!, /is not the base model's on http/);
  }));
