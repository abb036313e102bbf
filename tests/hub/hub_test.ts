import { assert, assertEquals, assertRejects } from "@std/assert";
import { rateLimit } from "./faults.ts";
import { type Hub, startHub, STRANGER_TOKEN, WRITER_TOKEN } from "./hub.ts";
import { textOf } from "./metadata.ts";

const WEIGHTS = "weights ".repeat(50_000);
const FILE = /^GET \/cdn\//;

async function withHub(body: (hub: Hub, get: typeof fetch) => Promise<void>): Promise<void> {
  await using hub = await startHub(null, { pageSize: 2 });
  await hub.add("model", "org/tiny", { "config.json": "{}", "a/b.txt": "b", "model.safetensors": WEIGHTS });
  await body(hub, (path, init) => fetch(`${hub.endpoint}${path}`, init));
}

Deno.test("a hub: resolve redirects to the storage, whose ETag is its own and which takes ranges", () =>
  withHub(async (hub, get) => {
    const path = "/org/tiny/resolve/main/model.safetensors";
    const named = await get(path, { redirect: "manual" });
    assertEquals([named.status, named.headers.get("x-linked-size")], [302, String(WEIGHTS.length)]);
    const oid = hub.repo("model", "org/tiny").tree().get("model.safetensors")!.content.sha256;
    assertEquals(named.headers.get("x-linked-etag"), `"${oid}"`);
    assertEquals(named.headers.get("x-repo-commit"), hub.repo("model", "org/tiny").resolve("main"));
    const whole = await get(path);
    assertEquals(await whole.text(), WEIGHTS);
    const etag = whole.headers.get("etag")!;
    const part = await get(path, { headers: { range: "bytes=10-", "if-range": etag } });
    assertEquals([part.status, await part.text()], [206, WEIGHTS.slice(10)]);
    const changed = await get(path, { headers: { range: "bytes=10-", "if-range": '"other"' } });
    assertEquals([changed.status, await changed.text()], [200, WEIGHTS]);
    const beyond = await get(path, { headers: { range: `bytes=${WEIGHTS.length}-` } });
    assertEquals([beyond.status, beyond.headers.get("content-range")], [416, `bytes */${WEIGHTS.length}`]);
    await beyond.body?.cancel();
    const location = named.headers.get("location")!;
    const statusOf = async (url: string, init: RequestInit = {}) => {
      const response = await fetch(url, init);
      await response.body?.cancel();
      return response.status;
    };
    assertEquals(await statusOf(location), 200);
    assertEquals(await statusOf(location, { headers: { authorization: `Bearer ${WRITER_TOKEN}` } }), 400);
    assertEquals(await statusOf(location.split("?")[0]!), 403);
  }));

Deno.test("a hub: bodies break, end early, change, stall, and answers are 429", () =>
  withHub(async (hub, get) => {
    const path = "/org/tiny/resolve/main/model.safetensors";
    hub.faults.add({ on: FILE, kind: "break", bytes: 1000 });
    await assertRejects(() => get(path).then((response) => response.text()));
    hub.faults.add({ on: FILE, kind: "short", bytes: 1000 });
    assertEquals((await (await get(path)).text()).length, 1000);
    hub.faults.add({ on: FILE, kind: "corrupt", at: 70_000 });
    const wrong = await (await get(path)).text();
    assertEquals([...wrong].filter((character, index) => character !== WEIGHTS[index]).length, 1);
    hub.faults.add(rateLimit(/tree/, 7));
    const limited = await get("/api/models/org/tiny/tree/main");
    assertEquals([limited.status, limited.headers.get("retry-after")], [429, "7"]);
    await limited.body?.cancel();
    hub.faults.add({ on: FILE, kind: "stall", bytes: 1000 });
    const stop = new AbortController();
    const stalled = get(path, { signal: stop.signal }).then((response) => response.text());
    const state = await Promise.race([
      stalled.then(() => "ended", () => "failed"),
      new Promise((r) => setTimeout(r, 100, "open")),
    ]);
    assertEquals(state, "open");
    stop.abort();
    await assertRejects(() => stalled);
    assertEquals(await (await get(path)).text(), WEIGHTS, "and then it is well again");
  }));

Deno.test("a hub: trees come in pages; gated files want a licence, private repositories their owner", () =>
  withHub(async (hub, get) => {
    const first = await get("/api/models/org/tiny/tree/main?recursive=true");
    assertEquals((await first.json()).length, 2);
    assert(first.headers.get("link")!.endsWith('cursor=2>; rel="next"'));
    await hub.add("model", "meta/gated", { "config.json": "{}" }, { gated: "auto" });
    await hub.add("dataset", "org/secret", { "train.jsonl": "{}" }, { isPrivate: true });
    const codeOf = async (path: string, token?: string) => {
      const headers: HeadersInit = token === undefined ? {} : { authorization: `Bearer ${token}` };
      const response = await get(path, { headers });
      await response.body?.cancel();
      return [response.status, response.headers.get("x-error-code")];
    };
    assertEquals(await codeOf("/api/models/meta/gated"), [200, null]);
    assertEquals(await codeOf("/meta/gated/resolve/main/config.json"), [401, "GatedRepo"]);
    assertEquals(await codeOf("/meta/gated/resolve/main/config.json", STRANGER_TOKEN), [403, "GatedRepo"]);
    assertEquals(await codeOf("/api/datasets/org/secret"), [401, "RepoNotFound"]);
    assertEquals(await codeOf("/api/datasets/org/secret", STRANGER_TOKEN), [404, "RepoNotFound"]);
    assertEquals(await codeOf("/api/datasets/org/secret", WRITER_TOKEN), [200, null]);
    assertEquals(await codeOf("/api/models/org/tiny/revision/gone"), [404, "RevisionNotFound"]);
    assertEquals(await codeOf("/org/tiny/resolve/main/gone"), [404, "EntryNotFound"]);
    assertEquals(await codeOf("/api/models/org/tiny", "hf_nobody"), [401, null]);
  }));

Deno.test("a hub: it goes down and comes back at the same address", () =>
  withHub(async (hub, get) => {
    await hub.down();
    await assertRejects(() => get("/api/models/org/tiny"));
    hub.up();
    assertEquals((await (await get("/api/models/org/tiny")).json()).id, "org/tiny");
    assertEquals(await textOf(hub.repo("model", "org/tiny"), "a/b.txt"), "b");
  }));

Deno.test("a hub: Python's huggingface_hub accepted it", async () => {
  const output = await Deno.readTextFile(new URL("check_with_python.txt", import.meta.url));
  const lines = output.trim().split("\n");
  assertEquals([lines[0]!.startsWith("huggingface_hub "), lines.at(-1)], [true, "0 wrong"]);
  assertEquals(lines.filter((line) => line.startsWith("ok: ")).length, lines.length - 2);
});
