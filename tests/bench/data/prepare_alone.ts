/**
 * A preparation in a process of its own, without a coordinator: seconds, CPU seconds, largest memory, SHA-256 of the prepared rows, as
 * JSON. Run by threads.ts with a model's folder, a file of JSON lines and a number of threads; 0: as many as a coordinator takes.
 */
import { createHash } from "node:crypto";
import process from "node:process";
import { parseJobRequest } from "../../../coordinator/job_request/parse.ts";
import { prepareRows } from "../../../coordinator/planning/preparation/prepare_rows.ts";
import { writePrepared } from "../../../coordinator/planning/preparation/prepared_cache.ts";

export interface PreparedAlone {
  readonly seconds: number;
  readonly cpuSeconds: number;
  /** Of the thread that took most: with a core for each, nothing is faster. Null where the system does not tell it. */
  readonly busiestSeconds: number | null;
  /** Null where the system does not tell it. */
  readonly peakMb: number | null;
  readonly sha256: string;
}

async function peakMb(): Promise<number | null> {
  const status = await Deno.readTextFile("/proc/self/status").catch(() => "");
  const found = /VmHWM:\s+(\d+)/.exec(status)?.[1];
  return found === undefined ? null : Number(found) / 1000;
}

/** Clock ticks a second: 100 on all of Linux's usual builds. */
const TICKS = 100;

/** Watches the CPU seconds of each thread until it is stopped, since a thread's are gone with it. */
function watchThreads(): () => number | null {
  const ticks = new Map<string, number>();
  const look = () => {
    try {
      for (const { name } of Deno.readDirSync("/proc/self/task")) {
        const stat = Deno.readTextFileSync(`/proc/self/task/${name}/stat`);
        const [user, system] = stat.slice(stat.lastIndexOf(")") + 2).split(" ").slice(11, 13).map(Number);
        ticks.set(name, user! + system!);
      }
    } catch {
      // A thread has just ended, or the system has no such files.
    }
  };
  const timer = setInterval(look, 100);
  return () => {
    clearInterval(timer);
    look();
    return ticks.size === 0 ? null : Math.max(...ticks.values()) / TICKS;
  };
}

if (import.meta.main) {
  const [modelFolder, path, threads] = Deno.args as [string, string, string];
  const dataset = { max_seq_length: 2048, truncation: "truncate" };
  const request = {
    spec: parseJobRequest({ model: "m", training_file: "file-1", dataset }).spec,
    files: [{ path, name: "rows.jsonl", sha256: null }],
    ...{ modelFolder, key: "k", outputPath: `${path}.prepared` },
    ...Number(threads) > 0 ? { threads: Number(threads) } : {},
  };
  const startedAt = performance.now();
  const stopWatching = watchThreads();
  {
    using rows = await prepareRows(request);
    await writePrepared(request.outputPath, request.key, rows);
  }
  const seconds = (performance.now() - startedAt) / 1000;
  const busiestSeconds = stopWatching();
  const { user, system } = process.cpuUsage();
  // Before the whole file is read for its hash.
  const peak = await peakMb();
  const hash = createHash("sha256").update(await Deno.readFile(request.outputPath)).digest("hex");
  await Deno.remove(request.outputPath);
  const measured: PreparedAlone = {
    ...{ seconds, cpuSeconds: (user + system) / 1e6, busiestSeconds, peakMb: peak, sha256: hash },
  };
  console.log(JSON.stringify(measured));
}
