/** The coordinator's own process: memory, delays of its event loop, room on its disk, whether it is ready. */
import type { Clock } from "../../shared/clock.ts";
import { freeBytes } from "../../shared/hub/free_space.ts";
import type { Metrics } from "./registry.ts";

const TICK_MS = 100;

interface ProcessParts {
  readonly clock: Clock;
  readonly dataFolder: string;
  readonly version: string;
  readonly readiness: () => Promise<readonly { readonly name: string; readonly problem: string | null }[]>;
  /** Ends the measurement. */
  readonly signal: AbortSignal;
}

export function addProcessMetrics(metrics: Metrics, parts: ProcessParts): void {
  const { clock, dataFolder, version, readiness, signal } = parts;
  const startedAt = clock.now() / 1000;
  const info = {
    name: "build_info",
    help: "1; the versions are labels",
    labels: ["version", "deno"],
  } as const;
  metrics.gauge(info).set({ version, deno: Deno.version.deno }, 1);
  metrics.gauge({ name: "start_time_seconds", help: "Since the Unix epoch" }).set(startedAt);
  metrics.gauge({ name: "resident_memory_bytes", help: "Resident memory of the process" }, (gauge) => {
    gauge.set(Deno.memoryUsage().rss);
  });
  const memory = {
    name: "memory_bytes",
    help:
      "Parts of the resident memory: objects that V8 keeps, room that its heap has for them, buffers outside of the heap",
    labels: ["part"],
  } as const;
  metrics.gauge(memory, (gauge) => {
    const { heapUsed, heapTotal, external } = Deno.memoryUsage();
    gauge.set({ part: "heap_used" }, heapUsed);
    gauge.set({ part: "heap" }, heapTotal);
    gauge.set({ part: "external" }, external);
  });
  metrics.gauge({ name: "disk_free_bytes", help: "Free where the data folder is" }, async (gauge) => {
    const free = await freeBytes(dataFolder);
    if (free !== null) gauge.set(free);
  });
  metrics.gauge(
    { name: "ready", help: "1 if a check of /readyz passes, else 0", labels: ["check"] },
    async (gauge) => {
      for (const { name, problem } of await readiness()) gauge.set({ check: name }, problem === null ? 1 : 0);
    },
  );
  const loop = { longestMs: 0 };
  metrics.gauge(
    { name: "event_loop_delay_seconds", help: "Longest delay of the event loop since the last question" },
    (gauge) => {
      gauge.set(loop.longestMs / 1000);
      loop.longestMs = 0;
    },
  );
  watchLoop(clock, signal, loop).catch(() => {});
}

/** Rejects once `signal` is aborted. */
async function watchLoop(clock: Clock, signal: AbortSignal, loop: { longestMs: number }): Promise<never> {
  for (;;) {
    const startedAt = clock.now();
    await clock.sleep(TICK_MS, signal);
    loop.longestMs = Math.max(loop.longestMs, clock.now() - startedAt - TICK_MS);
  }
}
