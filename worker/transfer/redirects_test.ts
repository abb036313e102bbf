/** A worker's token goes to the coordinator that issued it, and no redirect takes it elsewhere. */
import { assertEquals, assertRejects } from "@std/assert";
import { createHash } from "node:crypto";
import { systemClock } from "../../shared/clock.ts";
import { LIMITS } from "../../shared/protocol/limits.ts";
import { createCheckpointWriter } from "./checkpoint_upload.ts";
import { downloadFile } from "./download.ts";
import { askJoinUrl } from "../fleet/join.ts";

const limits = { ...LIMITS, retryIntervalMs: 1 };
const common = { fetch, clock: systemClock, limits, log: () => {} };

interface Elsewhere {
  /** Redirects every request to the other server. */
  readonly url: string;
  /** The tokens that the other server received; null: none. */
  readonly shown: (string | null)[];
}

async function withElsewhere(body: (elsewhere: Elsewhere) => Promise<void>): Promise<void> {
  const shown: (string | null)[] = [];
  const options = { port: 0, hostname: "127.0.0.1", onListen: () => {} };
  await using other = Deno.serve(options, (request) => {
    shown.push(request.headers.get("authorization"));
    return new Response("x", { status: 206, headers: { "content-range": "bytes 0-0/1" } });
  });
  await using first = Deno.serve(options, async (request) => {
    await request.body?.cancel();
    return Response.redirect(`http://127.0.0.1:${other.addr.port}/x`, 307);
  });
  await body({ url: `http://127.0.0.1:${first.addr.port}`, shown });
}

const file = { name: "config.json", size: 1, sha256: createHash("sha256").update("x").digest("hex") };

Deno.test("neither a join, nor a download, nor an upload follows a redirect", () =>
  withElsewhere(async ({ url, shown }) => {
    const folder = await Deno.makeTempDir();
    const signal = AbortSignal.timeout(2000);
    try {
      const join = {
        ...common,
        url: `${url}/join/token`,
        publicKey: "U",
        token: "mine",
        timeoutMs: 1000,
        signal,
      };
      await assertRejects(() => askJoinUrl(join));
      const download = { ...common, url, token: "mine", tries: 1, file, path: `${folder}/a`, signal };
      await assertRejects(() => downloadFile(download));
      const write = createCheckpointWriter({ ...common, cacheFolder: folder });
      const engine = {
        writeAdapter: async (folder: string) => {
          await Deno.writeTextFile(`${folder}/adapter_config.json`, "{}");
        },
        writeState: () => Promise.resolve(),
      };
      const job = { jobId: "ftjob-a", baseModelName: "base", savesState: false };
      // It retries until the signal aborts.
      const soon = AbortSignal.timeout(200);
      await assertRejects(() => write({ httpUrl: url, token: "mine" }, engine, job, 1, soon));
      assertEquals(shown, []);
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  }));
