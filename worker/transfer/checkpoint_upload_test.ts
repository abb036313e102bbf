import { assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { join } from "@std/path";
import { createHash } from "node:crypto";
import { createFakeClock } from "../../shared/testing/fake_clock.ts";
import { LoraFleetError } from "../../shared/errors.ts";
import { LIMITS } from "../../shared/protocol/limits.ts";
import { JOB } from "../testing/test_job.ts";
import { drive } from "../allreduce/all_reduce_fixture.ts";
import { createCheckpointWriter } from "./checkpoint_upload.ts";
import { createToyEngine } from "../testing/toy_engine.ts";

interface Upload {
  readonly url: string;
  readonly method: string | undefined;
  readonly headers: Headers;
  readonly bytes: Uint8Array;
}

const CHECKPOINT = { jobId: "ftjob-a", baseModelName: "toy" };

async function inFolder(
  statuses: readonly (number | "broken")[],
  work: (
    write: (signal?: AbortSignal) => Promise<unknown>,
    uploads: Upload[],
    cacheFolder: string,
  ) => Promise<void>,
  savesState = true,
): Promise<void> {
  const folder = await Deno.makeTempDir({ prefix: "lorafleet-checkpoint-" });
  const cacheFolder = join(folder, "cache");
  const clock = createFakeClock();
  const engine = createToyEngine({ clock });
  await engine.load({ modelFolder: "", ...JOB.engine, allowCpu: true, memoryBudgetBytes: null });
  const uploads: Upload[] = [];
  let requests = 0;
  const writer = createCheckpointWriter({
    cacheFolder,
    fetch: async (url, init) => {
      const status = statuses[Math.min(requests++, statuses.length - 1)]!;
      const bytes = new Uint8Array(await new Response(init.body as ReadableStream).arrayBuffer());
      if (status === "broken") throw new TypeError("connection reset");
      uploads.push({ url, method: init.method, headers: new Headers(init.headers), bytes });
      return new Response("{}", { status });
    },
    clock,
    limits: LIMITS,
    log: () => {},
  });
  const target = { httpUrl: "http://coordinator", token: "secret" };
  const write = (signal = new AbortController().signal) =>
    drive(clock, writer(target, engine, { ...CHECKPOINT, savesState }, 7, signal));
  try {
    await work(write, uploads, cacheFolder);
    assertEquals(await Array.fromAsync(Deno.readDir(cacheFolder)), [], "nothing is left behind");
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

Deno.test("adapter and training state are uploaded with token and hash, and returned", () =>
  inFolder([200], async (write, uploads) => {
    const files = await write();
    assertEquals(uploads.map(({ url, method }) => [method, url]), [
      ["PUT", "http://coordinator/internal/jobs/ftjob-a/checkpoints/7/adapter_config.json"],
      ["PUT", "http://coordinator/internal/jobs/ftjob-a/checkpoints/7/adapter_model.safetensors"],
      ["PUT", "http://coordinator/internal/jobs/ftjob-a/checkpoints/7/training_state.safetensors"],
    ]);
    const sent = uploads.map(({ url, headers, bytes }) => {
      assertEquals(headers.get("authorization"), "Bearer secret");
      const sha256 = createHash("sha256").update(bytes).digest("hex");
      assertEquals(headers.get("x-lorafleet-sha256"), sha256);
      return { name: url.split("/").at(-1), size: bytes.length, sha256 };
    });
    assertEquals(files, sent);
  }));

Deno.test("a job may want the adapter alone", () =>
  inFolder([200], async (write, uploads) => {
    await write();
    assertEquals(uploads.map(({ url }) => url.split("/").at(-1)), [
      "adapter_config.json",
      "adapter_model.safetensors",
    ]);
  }, false));

Deno.test("a server error is retried", () =>
  inFolder(["broken", 503, 200], async (write, uploads) => {
    await write();
    assertEquals(uploads.length, 4);
    assertEquals(uploads[0]!.url, uploads[1]!.url);
  }));

Deno.test("a refused upload is not retried", () =>
  inFolder([409], async (write, uploads) => {
    const error = await assertRejects(() => write(), LoraFleetError);
    assertStringIncludes(error.message, `the coordinator refuses "adapter_config.json": 409`);
    assertEquals(uploads.length, 1);
  }));

Deno.test("an upload ends at its deadline, and when the coordinator picks a different worker", async () => {
  await inFolder([503], async (write) => {
    await assertRejects(() => write(), LoraFleetError, "uploading the adapter of step 7 took longer than");
  });
  await inFolder([503], async (write) => {
    const signal = AbortSignal.abort(new LoraFleetError("aborted", "moved on"));
    await assertRejects(() => write(signal), LoraFleetError, "moved on");
  });
});

Deno.test("a full cache folder is reported without its path, which users of the API would read", async () => {
  const cacheFolder = await Deno.makeTempDir({ prefix: "lorafleet checkpoint-" });
  try {
    const clock = createFakeClock();
    const fetch = () => Promise.reject(new Error("nothing is uploaded"));
    const writer = createCheckpointWriter({ cacheFolder, fetch, clock, limits: LIMITS, log: () => {} });
    const full = "No space left on device (os error 28)";
    const messages = [
      new LoraFleetError("storage", `Writing "${cacheFolder}/adapter-1/ada... failed: ${full}.`),
      new LoraFleetError("storage", `Writing "${cacheFolder}/a" failed: ${full}.`),
      new Deno.errors.PermissionDenied(`${full}: writefile '${cacheFolder}/a'`),
    ];
    for (const thrown of messages) {
      const engine = { writeAdapter: () => Promise.reject(thrown), writeState: () => Promise.resolve() };
      const error = await assertRejects(
        () =>
          writer(
            { httpUrl: "http://coordinator", token: "t" },
            engine,
            { ...CHECKPOINT, savesState: true },
            7,
            AbortSignal.timeout(5000),
          ),
        LoraFleetError,
      );
      assertEquals(error.message, `cannot write the adapter of step 7 to the cache folder: ${full}`);
    }
  } finally {
    await Deno.remove(cacheFolder, { recursive: true });
  }
});
