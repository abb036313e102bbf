import { assertEquals, assertMatch } from "@std/assert";
import { LoraFleetError } from "../../shared/errors.ts";
import { endFailed } from "./failed_worker.ts";

const NO_GPU = new LoraFleetError("no_gpu", "Opening the GPU failed: this container has no GPU.");
const POD = { id: "7h9k2m4n6p", apiKey: "rpa_secret", apiUrl: "https://api.runpod.io" };

/** What the health check reads, the log, and the times, in milliseconds from the failure on. */
async function end(thrown: unknown, change: Partial<Parameters<typeof endFailed>[1]> = {}) {
  const folder = await Deno.makeTempDir();
  const aliveFile = `${folder}/alive`;
  const log: string[] = [];
  let time = 0;
  const seen: { shown: string | null; removedAt: number | null } = { shown: null, removedAt: null };
  await endFailed(thrown, {
    ...{ aliveFile, pod: null, isPod: false, signal: new AbortController().signal },
    clock: {
      now: () => time,
      async sleep(milliseconds, signal) {
        seen.shown = await Deno.readTextFile(aliveFile).catch(() => null);
        signal?.throwIfAborted();
        time += milliseconds;
      },
    },
    log: (level, message) => void log.push(`${level} ${message}`),
    fetch: () => {
      seen.removedAt = time;
      return Promise.resolve(new Response(null, { status: 204 }));
    },
    ...change,
  });
  await Deno.remove(folder, { recursive: true });
  return { ...seen, log, endedAt: time };
}

Deno.test("a container without a GPU says so to its health check for five minutes, and ends", async () => {
  assertEquals(await end(NO_GPU), {
    shown: "Opening the GPU failed: this container has no GPU.\n",
    log: [
      "error Opening the GPU failed: this container has no GPU; this container is unhealthy for 5 min and ends then",
    ],
    ...{ removedAt: null, endedAt: 300_000 },
  });
});

Deno.test("whoever stops it does not wait; other failures and other machines do not either", async () => {
  const stopped = await end(NO_GPU, { signal: AbortSignal.abort() });
  assertEquals([stopped.endedAt, stopped.log.length], [0, 1]);
  const nothing = { shown: null, log: [], removedAt: null, endedAt: 0 };
  assertEquals(await end(new LoraFleetError("unauthorized", "refused")), nothing);
  assertEquals(await end(NO_GPU, { aliveFile: null }), nothing);
});

Deno.test("a rented pod is removed, or its costs are told", async () => {
  const removed = await end(NO_GPU, { pod: POD, isPod: true });
  assertEquals([removed.removedAt, removed.endedAt], [300_000, 300_000]);
  assertMatch(removed.log.join("\n"), /this pod is removed in 5 min/);
  const kept = await end(NO_GPU, { isPod: true });
  assertEquals(kept.removedAt, null);
  assertMatch(kept.log.join("\n"), /^warn this pod goes on costing money; with LORAFLEET_REMOVE_POD=1 /);
});
