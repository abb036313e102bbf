/** The coordinator's memory over time, in parts. */
import { systemClock } from "../../../shared/clock.ts";
import { rssOf } from "./rss.ts";

const EVERY_SECONDS = 5;

/** Samples of the resident memory in MB; a line each minute, and every five seconds of a run below two minutes. */
export async function watchMemory(pid: number, origin: string, minutes: number): Promise<readonly number[]> {
  const samples: number[] = [];
  const lineEvery = minutes < 2 ? EVERY_SECONDS : 60;
  for (let second = 0; second < minutes * 60; second += EVERY_SECONDS) {
    const rss = await rssOf(pid);
    samples.push(rss);
    if (second % lineEvery === 0) {
      const { used, heap, external } = partsOf(await (await fetch(`${origin}/metrics`)).text());
      const mb = (value: number) => `${value.toFixed(0)} MB`;
      console.log(
        `  ${String(second).padStart(4)} s: resident ${mb(rss)}; V8's heap ${mb(heap)}, ${
          mb(used)
        } of it used; ` +
          `buffers ${mb(external)}; the rest ${mb(rss - heap - external)}`,
      );
    }
    await systemClock.sleep(EVERY_SECONDS * 1000);
  }
  return samples;
}

function partsOf(metrics: string) {
  const part = (name: string) =>
    Number(new RegExp(`^lorafleet_memory_bytes{part="${name}"} (\\S+)$`, "m").exec(metrics)?.[1]) / 1e6;
  return { used: part("heap_used"), heap: part("heap"), external: part("external") };
}
