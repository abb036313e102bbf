/** The preparation of a file with one thread and with several, in one run. */
import { fromFileUrl } from "@std/path";
import { quantile } from "../statistics.ts";
import type { PreparedAlone } from "./prepare_alone.ts";

/**
 * In turns, so that what else happens on the machine meets all of them.
 * @param counts numbers of threads, the one to compare with first
 */
export async function compareThreads(
  model: string,
  path: string,
  counts: readonly number[],
  rounds: number,
): Promise<void> {
  const { size } = await Deno.stat(path);
  const runs = new Map<number, PreparedAlone[]>(counts.map((count) => [count, []]));
  for (let round = 0; round < rounds; round++) {
    for (const count of counts) runs.get(count)!.push(await prepare(model, path, count));
  }
  console.log(
    `preparing ${size} bytes, the median of ${rounds} rounds in turns; load average ${
      Deno.loadavg()[0]!.toFixed(2)
    }`,
  );
  console.log(
    "threads that build rows   seconds    MB/s  times as fast   CPU s  MB/s a core  busiest thread CPU s  MB at most  SHA-256 of the rows",
  );
  const medianOf = (count: number, read: (run: PreparedAlone) => number) =>
    quantile(runs.get(count)!.map(read), 0.5);
  const first = medianOf(counts[0]!, ({ seconds }) => seconds);
  for (const count of counts) {
    const [seconds, cpu] = [medianOf(count, (run) => run.seconds), medianOf(count, (run) => run.cpuSeconds)];
    const hashes = new Set(runs.get(count)!.map(({ sha256 }) => sha256.slice(0, 16)));
    console.log(
      (count === 1 ? "none besides the reading one" : String(count)).padEnd(28) +
        seconds.toFixed(1).padStart(5) + (size / 1e6 / seconds).toFixed(2).padStart(8) +
        (first / seconds).toFixed(2).padStart(15) +
        cpu.toFixed(1).padStart(8) + (size / 1e6 / cpu).toFixed(2).padStart(13) +
        medianOf(count, ({ busiestSeconds }) => busiestSeconds ?? NaN).toFixed(1).padStart(22) +
        medianOf(count, ({ peakMb }) => peakMb ?? NaN).toFixed(0).padStart(12) + `  ${[...hashes].join(" ")}`,
    );
  }
}

async function prepare(model: string, path: string, threads: number): Promise<PreparedAlone> {
  const script = fromFileUrl(new URL("./prepare_alone.ts", import.meta.url));
  const { success, stdout } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "-q", "--no-check", script, model, path, String(threads)],
    stderr: "inherit",
  }).output();
  if (!success) throw new Error(`the preparation with ${threads} threads has failed`);
  return JSON.parse(new TextDecoder().decode(stdout));
}
