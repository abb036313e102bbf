import { assertEquals, assertMatch } from "@std/assert";
import { LoraFleetError } from "../../shared/errors.ts";
import { createFakeClock } from "../../shared/testing/fake_clock.ts";
import { endFailed } from "./failed_worker.ts";

const NO_GPU = new LoraFleetError("no_gpu", "Opening the GPU failed: this container has no GPU.");
const POD = { id: "7h9k2m4n6p", apiKey: "rpa_secret", apiUrl: "https://api.runpod.io" };

async function end(thrown: unknown, change: Partial<Parameters<typeof endFailed>[1]> = {}) {
  const folder = await Deno.makeTempDir();
  const clock = createFakeClock();
  const startedAt = clock.now();
  const log: string[] = [];
  let removedAfterMs: number | null = null;
  let endedAfterMs: number | null = null;
  const ended = endFailed(thrown, {
    ...{ aliveFile: `${folder}/alive`, pod: null, isPod: false, signal: new AbortController().signal, clock },
    log: (level, message) => void log.push(`${level} ${message}`),
    fetch: () => {
      removedAfterMs = clock.now() - startedAt;
      return Promise.resolve(new Response(null, { status: 204 }));
    },
    ...change,
  }).then(() => endedAfterMs = clock.now() - startedAt);
  // Its file is written in real time.
  while (
    change.aliveFile !== null && !(await Deno.readTextFile(`${folder}/alive`).catch(() => "")).endsWith("\n")
  );
  const shown = await Deno.readTextFile(`${folder}/alive`).catch(() => null);
  while (endedAfterMs === null) await clock.advance(10_000);
  await ended;
  await Deno.remove(folder, { recursive: true });
  return { shown, log, removedAfterMs, endedAfterMs };
}

Deno.test("a container without a GPU says so to its health check for five minutes, and ends", async () => {
  const { shown, log, removedAfterMs, endedAfterMs } = await end(NO_GPU);
  assertEquals(shown, "Opening the GPU failed: this container has no GPU.\n");
  assertEquals(log, [
    "error Opening the GPU failed: this container has no GPU; this container is unhealthy for 5 min and ends then",
  ]);
  assertEquals([removedAfterMs, endedAfterMs], [null, 300_000]);
});

Deno.test("whoever stops it does not wait; other failures and other machines do not either", async () => {
  const none = { endedAfterMs: 0, removedAfterMs: null };
  const timesOf = ({ endedAfterMs, removedAfterMs }: Awaited<ReturnType<typeof end>>) => ({
    endedAfterMs,
    removedAfterMs,
  });
  assertEquals(timesOf(await end(NO_GPU, { signal: AbortSignal.abort() })), none);
  assertEquals(timesOf(await end(new LoraFleetError("unauthorized", "refused"))), none);
  const alone = await end(NO_GPU, { aliveFile: null });
  assertEquals([alone.shown, alone.log, timesOf(alone)], [null, [], none]);
});

Deno.test("a rented pod is removed, or its costs are told", async () => {
  const removed = await end(NO_GPU, { pod: POD, isPod: true });
  assertEquals([removed.removedAfterMs, removed.endedAfterMs], [300_000, 300_000]);
  assertMatch(removed.log.join("\n"), /this pod is removed in 5 min/);
  const kept = await end(NO_GPU, { isPod: true });
  assertEquals(kept.removedAfterMs, null);
  assertMatch(kept.log.join("\n"), /^warn this pod goes on costing money; with LORAFLEET_REMOVE_POD=1 /);
});
