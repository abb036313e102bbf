/**
 * Loading a base model of 1.1B random weights in bf16 (2.2 GB): as it was before the NF4 kernel in WebAssembly, now, and a second
 * time from the NF4 cache, beside bitsandbytes on the same CPU. Each in a process of its own.
 *
 *     deno task bench:load [--folder /tmp/lorafleet-bench-load] [--python <python with bitsandbytes>] [--rounds 2]
 *
 * The folder is made and removed. Times are the best of the rounds, and of one round for the slow ones (before, bitsandbytes): other
 * work on the machine only adds to them.
 */
import { parseArgs } from "node:util";
import { fromFileUrl, join } from "@std/path";
import { exitWithHelp } from "../../documents/head_help.ts";
import type { OneLoad } from "./one_load.ts";
import { writeRandomModel } from "./random_model.ts";

exitWithHelp(import.meta.url);

const { values } = parseArgs({
  args: Deno.args,
  options: {
    folder: { type: "string", default: "/tmp/lorafleet-bench-load" },
    python: { type: "string" },
    rounds: { type: "string", default: "2" },
  },
});
const { folder, python, rounds } = values;
const [model, cache] = [join(folder, "model"), join(folder, "nf4")];
const here = (name: string) => fromFileUrl(new URL(name, import.meta.url));
const MIB = 2 ** 20;

async function json(command: string, args: readonly string[]): Promise<OneLoad> {
  const { success, stdout } = await new Deno.Command(command, { args: [...args], stderr: "null" }).output();
  if (!success) throw new Error(`${command} ${args.join(" ")} has failed`);
  return JSON.parse(new TextDecoder().decode(stdout));
}

const load = (version: string, what: string, threads: number, cacheFolder = "-") =>
  json(Deno.execPath(), [
    ...["run", "-A", "-q", "--no-check", "--unstable-webgpu"],
    ...[here("one_load.ts"), model, version, what, `${threads}`, cacheFolder],
  ]);

/** The least of each number over the rounds, but the largest peak. */
async function best(run: () => Promise<OneLoad>): Promise<OneLoad> {
  let found = await run();
  for (let round = 1; round < Number(rounds); round++) {
    const next = await run();
    found = {
      ...next,
      wallS: Math.min(found.wallS, next.wallS),
      cpuS: Math.min(found.cpuS, next.cpuS),
      peakBytes: Math.max(found.peakBytes, next.peakBytes),
    };
  }
  return found;
}

function line(name: string, { wallS, cpuS, peakBytes }: OneLoad, base: OneLoad, share = 1): void {
  const columns = [cpuS, cpuS * share, wallS].map((seconds) => seconds.toFixed(2).padStart(10));
  const ratio = (base.cpuS / (cpuS * share)).toFixed(1).padStart(10);
  console.log(`${name.padEnd(46)}${columns.join("")}${ratio}${(peakBytes / MIB).toFixed(0).padStart(10)}`);
}

const removeCache = () => Deno.remove(cache, { recursive: true }).catch(() => {});

/** Asks the system to forget the files' contents, without which they would be read from main memory. */
async function leavePageCache(folder: string): Promise<void> {
  for await (const { name, isDirectory } of Deno.readDir(folder)) {
    const path = join(folder, name);
    if (isDirectory) await leavePageCache(path);
    else {
      const args = [`of=${path}`, "oflag=nocache", "conv=notrunc,fdatasync", "count=0", "status=none"];
      const { success } = await new Deno.Command("dd", { args, stdin: "null" }).output();
      if (!success) throw new Error(`dd ${args.join(" ")} has failed`);
    }
  }
}

/** Before, now, and twice with the cache. */
async function table(what: "linears" | "all", cores: number): Promise<OneLoad> {
  const before = await load("before", what, 1);
  const alone = await best(() => load("now", what, 1));
  const now = await best(() => load("now", what, cores));
  const first = await best(async () => {
    await removeCache();
    return await load("now", what, 0, cache);
  });
  const second = await best(() => load("now", what, 0, cache));
  const cold = await best(async () => {
    await leavePageCache(cache);
    return await load("now", what, 0, cache);
  });
  line("before, one thread", before, before);
  line("now, one thread", alone, before);
  line(`now, ${cores} threads`, now, before, 1 / cores);
  line("now, first start with the cache", first, before, 1 / cores);
  line("now, second start", second, before, 1 / cores);
  line("now, second start, from the disk itself", cold, before, 1 / cores);
  const same = [alone, now, first, second, cold].every(({ checksum }) => checksum === before.checksum);
  if (!same) throw new Error("the weights differ");
  console.log(`\n${first.text}\n${second.text}\n`);
  return before;
}

/** The linear layers by bitsandbytes on the CPU. */
async function peers(python: string, before: OneLoad, cores: number): Promise<void> {
  for (const threads of [1, cores]) {
    const theirs = await json(python, [here("bitsandbytes_load.py"), model, `${threads}`]);
    line(`${theirs.text}, ${threads} ${threads === 1 ? "thread" : "threads"}`, theirs, before, 1 / threads);
  }
}

try {
  const cores = navigator.hardwareConcurrency;
  const largestShard = await writeRandomModel(model);
  console.log(
    `deno ${Deno.version.deno}, ${cores} cores, load ${Deno.loadavg().map((x) => x.toFixed(1)).join(" ")}; ` +
      `largest shard ${(largestShard / MIB).toFixed(0)} MiB; files in the page cache\n`,
  );
  const titles = ["CPU s", "÷ cores", "wall s", "ratio", "peak MiB"].map((title) => title.padStart(10));
  console.log(`${"linear layers, read and quantised".padEnd(46)}${titles.join("")}`);
  const before = await table("linears", cores);
  console.log(`\n${"all weights, uploaded to the first GPU".padEnd(46)}${titles.join("")}`);
  await table("all", cores);
  if (python !== undefined) await peers(python, before, cores);
} finally {
  await Deno.remove(folder, { recursive: true });
}
