import { assertEquals, assertRejects } from "@std/assert";
import { createHash } from "node:crypto";
import { LoraFleetError } from "../../shared/errors.ts";
import { downloadFromHub } from "./hub_download.ts";
import { findHubCommit } from "./hub_api.ts";
import { parseHubName } from "./hub_name.ts";
import type { HubOptions } from "./hub_api.ts";

const COMMIT = "0123456789abcdef0123456789abcdef01234567";
const WEIGHTS = "weights ".repeat(1000);
const sha256 = (text: string) => createHash("sha256").update(text).digest("hex");

/** The few routes of a hub that a download uses, with the answers of huggingface.co. */
class MockHub implements AsyncDisposable {
  readonly requests: string[] = [];
  readonly files: Record<string, string> = {
    "README.md": "not needed",
    "config.json": "{}",
    "tokenizer.json": "[]",
    "model.safetensors": WEIGHTS,
  };
  /** What is sent instead of a file's content. */
  readonly sent: Record<string, string> = {};
  endlessBytes = 0;
  readonly #server = Deno.serve(
    { port: 0, hostname: "127.0.0.1", onListen: () => {} },
    (request) => this.#answer(request),
  );
  readonly endpoint = `http://127.0.0.1:${this.#server.addr.port}`;

  #answer(request: Request): Response {
    const { pathname } = new URL(request.url);
    this.requests.push(`${request.method} ${pathname}`);
    if (pathname.includes("/org/private") && request.headers.get("authorization") !== "Bearer hf_secret") {
      return Response.json({ error: "Repository not found" }, { status: 401 });
    }
    if (pathname.startsWith("/api/models/org/endless/")) {
      const chunk = new TextEncoder().encode(" ".repeat(2 ** 20));
      return new Response(
        new ReadableStream({
          pull: (controller) => {
            this.endlessBytes += chunk.byteLength;
            controller.enqueue(chunk);
          },
        }),
        { headers: { "content-type": "application/json" } },
      );
    }
    const revision = /^\/api\/models\/org\/(tiny|private)\/revision\/(\w+)$/.exec(pathname)?.[2];
    if (revision === "main" || revision === "v1") {
      return Response.json({ _id: "1", id: "org/tiny", sha: COMMIT, lastModified: "2024-01-01T00:00:00Z" });
    }
    const tree = new RegExp(`^/api/models/org/(?:tiny|private)/tree/${COMMIT}(?:/(.+))?$`).exec(pathname);
    if (tree !== null) {
      const inside = tree[1] === undefined ? "" : `${tree[1]}/`;
      const names = Object.keys(this.files).filter((name) => name.startsWith(inside));
      const folders = names.map((name) => /^(.*?)\//.exec(name.slice(inside.length))?.[1]).filter((name) =>
        name !== undefined
      );
      const files = names.filter((name) => !name.slice(inside.length).includes("/"));
      return Response.json([
        ...[...new Set(folders)].map((name) => ({
          type: "directory",
          path: inside + name,
          size: 0,
          oid: "0",
        })),
        ...files.map((path) => [path, this.files[path]!] as const).map(([path, content]) => ({
          type: "file",
          path,
          size: content.length,
          oid: createHash("sha1").update(content).digest("hex"),
          ...(path.endsWith(".safetensors")
            ? { lfs: { oid: sha256(content), size: content.length, pointerSize: 1 } }
            : {}),
        })),
      ]);
    }
    const name = new RegExp(`^/org/(?:tiny|private)/resolve/${COMMIT}/(.+)$`).exec(pathname)?.[1] ?? "";
    const content = this.sent[name] ?? this.files[name];
    if (content === undefined) return Response.json({ error: "Entry not found" }, { status: 404 });
    if (request.headers.get("range") === "bytes=0-0") {
      return new Response(content.slice(0, 1), {
        status: 206,
        headers: { etag: '"x"', "content-range": `bytes 0-0/${content.length}` },
      });
    }
    return new Response(content);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#server.shutdown();
  }
}

async function withHub(body: (mock: MockHub, hub: HubOptions) => Promise<void>): Promise<void> {
  const cacheFolder = await Deno.makeTempDir();
  await using mock = new MockHub();
  try {
    await body(mock, { endpoint: mock.endpoint, token: null, cacheFolder, offline: false });
  } finally {
    await Deno.remove(cacheFolder, { recursive: true });
  }
}

const tiny = { repo: "org/tiny", revision: "main" };
const ignore = () => {};

Deno.test("a model is downloaded once, without what training does not need, and then found offline", () =>
  withHub(async (mock, hub) => {
    const downloaded: string[] = [];
    const folder = await downloadFromHub(tiny, hub, (file) => downloaded.push(file));
    assertEquals(folder, `${hub.cacheFolder}/models--org--tiny/snapshots/${COMMIT}`);
    assertEquals(downloaded, ["config.json", "tokenizer.json", "model.safetensors"]);
    assertEquals(await Deno.readTextFile(`${folder}/model.safetensors`), WEIGHTS);
    assertEquals(await Deno.readLink(`${folder}/model.safetensors`), `../../blobs/${sha256(WEIGHTS)}`);
    assertEquals(await downloadFromHub(tiny, hub, (file) => downloaded.push(file)), folder);
    assertEquals(downloaded.length, 3);
    const before = mock.requests.length;
    const offline = { ...hub, offline: true };
    assertEquals(await downloadFromHub(tiny, offline, ignore), folder);
    assertEquals(await findHubCommit({ ...tiny, revision: COMMIT }, offline), COMMIT);
    assertEquals(mock.requests.length, before);
    const away = { ...hub, endpoint: "http://127.0.0.1:9" };
    assertEquals(
      await downloadFromHub(tiny, away, ignore),
      folder,
      "a hub that is away: the cache is good enough",
    );
  }));

Deno.test("bytes that differ from the hub's announcement are corrupt and not kept", () =>
  withHub(async (mock, hub) => {
    mock.sent["model.safetensors"] = WEIGHTS.replace("w", "W");
    const wrong = await assertRejects(
      () => downloadFromHub(tiny, hub, ignore),
      LoraFleetError,
      sha256(WEIGHTS),
    );
    assertEquals(wrong.code, "corrupt");
    mock.sent["model.safetensors"] = WEIGHTS.slice(0, 100);
    const short = await assertRejects(() => downloadFromHub(tiny, hub, ignore), LoraFleetError, "8000 bytes");
    assertEquals(short.code, "corrupt");
    const blobs = (await Array.fromAsync(Deno.readDir(`${hub.cacheFolder}/models--org--tiny/blobs`))).length;
    assertEquals(blobs, 2, "config.json and tokenizer.json, not the weights");
    delete mock.sent["model.safetensors"];
    await downloadFromHub(tiny, hub, ignore);
  }));

Deno.test("the token opens a private model", () =>
  withHub(async (_mock, hub) => {
    const name = { repo: "org/private", revision: "main" };
    const closed = await assertRejects(
      () => findHubCommit(name, hub),
      LoraFleetError,
      "status 401; no HF_TOKEN",
    );
    assertEquals(closed.code, "model_not_found");
    await downloadFromHub(name, { ...hub, token: "hf_secret" }, ignore);
  }));

Deno.test("an unknown model or revision, or one not in the cache, is not found", () =>
  withHub(async (mock, hub) => {
    const attempts: [typeof tiny, HubOptions, string][] = [
      [{ repo: "org/missing", revision: "main" }, hub, "status 404"],
      [{ repo: "org/tiny", revision: "missing" }, hub, '"missing"'],
      [tiny, { ...hub, offline: true }, "HF_HUB_OFFLINE"],
      [tiny, { ...hub, endpoint: "http://127.0.0.1:9" }, "127.0.0.1:9"],
    ];
    for (const [name, options, message] of attempts) {
      const error = await assertRejects(() => findHubCommit(name, options), LoraFleetError, message);
      assertEquals(error.code, "model_not_found");
    }
    delete mock.files["config.json"];
    const bare = await assertRejects(() => downloadFromHub(tiny, hub, ignore), LoraFleetError, "config.json");
    assertEquals(bare.code, "invalid_model");
  }));

Deno.test("a download stops when it is aborted", () =>
  withHub(async (_mock, hub) => {
    const controller = new AbortController();
    const stop = new LoraFleetError("aborted", "stop");
    const download = downloadFromHub(tiny, hub, (file) => {
      if (file === "model.safetensors") controller.abort(stop);
    }, controller.signal);
    assertEquals(await assertRejects(() => download), stop);
  }));

Deno.test("hub names", () => {
  assertEquals(parseHubName("org/name"), { repo: "org/name", revision: "main" });
  assertEquals(parseHubName("org/na.me-7B@v1.0"), { repo: "org/na.me-7B", revision: "v1.0" });
  for (const other of ["name", "/a/b", "a/b/c", "./a", "a/..b", "a/b@", "a/b@../c", "a b/c", "a/b?c"]) {
    assertEquals(parseHubName(other), null, other);
  }
});

Deno.test("additional chat templates are downloaded, other folders are not", async () => {
  await withHub(async (mock, hub) => {
    mock.files["additional_chat_templates/tool_use.jinja"] = "T";
    mock.files["additional_chat_templates/notes.txt"] = "no template";
    mock.files["onnx/config.json"] = "{}";
    const folder = await downloadFromHub(parseHubName("org/tiny")!, hub, () => {});
    assertEquals(await Deno.readTextFile(`${folder}/additional_chat_templates/tool_use.jinja`), "T");
    const others = ["additional_chat_templates/notes.txt", "onnx/config.json"];
    for (const name of others) {
      await assertRejects(() => Deno.stat(`${folder}/${name}`), Deno.errors.NotFound);
    }
    assertEquals(mock.requests.filter((line) => line.includes("/tree/") && line.includes("onnx")), []);
  });
});

Deno.test("endless metadata is refused at 32 MiB, with the limit in the error", () =>
  withHub(async (mock, hub) => {
    const error = await assertRejects(
      () => findHubCommit(parseHubName("org/endless")!, hub),
      LoraFleetError,
      `more than ${32 * 2 ** 20} bytes`,
    );
    assertEquals([error.code, error.param], ["model_not_found", "model"]);
    // Beyond the limit there is what the sockets hold.
    assertEquals(mock.endlessBytes < 64 * 2 ** 20, true, `${mock.endlessBytes}`);
  }));
