import { assertEquals, assertRejects } from "@std/assert";
import { LoraFleetError } from "../errors.ts";
import { startHub } from "../../tests/hub/hub.ts";
import { type BlobDownload, downloadBlob, incompletePath } from "./download_blob.ts";
import { freeBytes } from "./free_space.ts";
import { findCommit, listFiles } from "./repo_files.ts";
import { openRepo } from "./download_repo.ts";

const NAME = { type: "model", repo: "org/tiny", revision: "main" } as const;

async function withBlob(body: (download: BlobDownload, folder: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir();
  await using hub = await startHub();
  await hub.add("model", "org/tiny", { "model.safetensors": "weights ".repeat(10_000) });
  const options = { endpoint: hub.endpoint, token: null, cacheFolder: folder, offline: false };
  const { commit } = await findCommit(NAME, options);
  const file = (await listFiles(NAME, commit, options)).files.get("model.safetensors")!;
  const blobPath = `${folder}/${file.etag}`;
  try {
    await body(
      { name: NAME, hub: options, commit, file, blobPath, signal: undefined, onBytes: () => {} },
      folder,
    );
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

Deno.test("a disk that is full is reported as such, and gets its room back", () =>
  withBlob(async (download) => {
    const open = async (path: string) => {
      const real = await Deno.open(path, { read: true, write: true, create: true });
      const full = await Deno.open("/dev/full", { write: true });
      return new Proxy(real, {
        get: (target, key) => {
          if (key === "write") return (bytes: Uint8Array) => full.write(bytes);
          if (key === Symbol.dispose) return () => [full, target].forEach((file) => file.close());
          const value = Reflect.get(target, key);
          return typeof value === "function" ? value.bind(target) : value;
        },
      });
    };
    const error = await assertRejects(
      () => downloadBlob({ ...download, open }),
      LoraFleetError,
      "cannot write",
    );
    assertEquals(error.code, "storage");
    for (const path of [download.blobPath, incompletePath(download.blobPath)]) {
      await assertRejects(() => Deno.stat(path), Deno.errors.NotFound);
    }
  }));

Deno.test("more bytes than the disk has free are refused before the first one", () =>
  withBlob(async ({ hub, file }, folder) => {
    const free = await freeBytes(`${folder}/not/yet/there`);
    assertEquals(free !== null && free > 0, true);
    const repo = await openRepo(NAME, hub);
    const error = await assertRejects(
      () => repo.fetch([{ ...file, size: 2 ** 60 }]),
      LoraFleetError,
      `"org/tiny" needs ${2 ** 60} bytes, but`,
    );
    assertEquals(error.code, "storage");
    assertEquals((await Array.fromAsync(Deno.readDir(folder))).length, 0);
  }));

Deno.test("endless metadata is refused at 32 MiB, with the limit in the error", async () => {
  let sent = 0;
  const chunk = new TextEncoder().encode(" ".repeat(2 ** 20));
  const endless = () =>
    new Response(
      new ReadableStream({
        pull: (controller) => {
          sent += chunk.byteLength;
          controller.enqueue(chunk);
        },
      }),
    );
  await using server = Deno.serve({ port: 0, hostname: "127.0.0.1", onListen: () => {} }, endless);
  const endpoint = `http://127.0.0.1:${server.addr.port}`;
  const hub = { endpoint, token: null, cacheFolder: "/nowhere", offline: false };
  const error = await assertRejects(
    () => findCommit(NAME, hub),
    LoraFleetError,
    `more than ${32 * 2 ** 20} bytes`,
  );
  assertEquals([error.code, error.param], ["model_not_found", "model"]);
  // Beyond the limit there is what the sockets hold.
  assertEquals(sent < 64 * 2 ** 20, true, `${sent}`);
});
