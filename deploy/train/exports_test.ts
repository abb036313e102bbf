import { assertEquals, assertRejects } from "@std/assert";
import { systemClock } from "../../shared/clock.ts";
import { LoraFleetError } from "../../shared/errors.ts";
import { ApiClient } from "../client/api_client.ts";
import { JobExports } from "./exports.ts";

/** Of "abc". */
const SHA256 = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

/** A coordinator with one export of one file, as it becomes more finished with each question. */
async function withExport(name: string, body: (exports: JobExports, folder: string) => Promise<void>) {
  let asked = 0;
  const files = [{ name, url: "/file", sha256: SHA256 }];
  const server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: () => {} }, ({ url }) => {
    if (url.endsWith("/file")) return new Response("abc");
    const status = ["queued", "running", "succeeded"][Math.min(asked++, 2)]!;
    const isDone = status === "succeeded";
    return Response.json({ id: "e", status, error: null, files: isDone ? files : [], push: null });
  });
  const folder = await Deno.makeTempDir();
  const { signal } = new AbortController();
  const clock = { now: systemClock.now, sleep: () => Promise.resolve() };
  try {
    const api = new ApiClient(`http://127.0.0.1:${server.addr.port}`, signal);
    await body(new JobExports(api, "ftjob-1", clock, signal), `${folder}/out/gguf`);
  } finally {
    await server.shutdown();
    await Deno.remove(folder, { recursive: true });
  }
}

Deno.test("an export is waited for and downloaded into its folder", () =>
  withExport("model.gguf", async (exports, folder) => {
    await exports.download(await exports.make("gguf"), folder);
    assertEquals(await Deno.readTextFile(`${folder}/model.gguf`), "abc");
  }));

Deno.test("no name leads out of the folder", async () => {
  for (const name of ["../../evil", "a/b", "..", ".bashrc", "a\\b", ""]) {
    await withExport(name, async (exports, folder) => {
      const made = await exports.make("gguf");
      await assertRejects(() => exports.download(made, folder), LoraFleetError, "a plain name is needed");
      assertEquals([...Deno.readDirSync(folder)], []);
    });
  }
});
