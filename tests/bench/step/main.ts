/**
 * What a worker does between two steps, as it was before decision 0041 and now, in CPU seconds and in time, beside numpy and torch
 * (fused AdamW with clipping, f32), each in a process of its own. First compares the bits of both on random and edge values.
 *
 *     deno task bench:step [--millions 4.9,33.6,159.9] [--threads 1,2] [--python <python with numpy and torch>] [--rounds 3]
 *
 * 159.9 million elements take 6 GB. Times are the least of the rounds: other work on the machine only adds to them. The transfers
 * from and to the GPU are not measured here.
 */
import { parseArgs } from "node:util";
import { fromFileUrl } from "@std/path";
import { exitWithHelp } from "../../documents/head_help.ts";
import type { Time, Times } from "./one_step.ts";

exitWithHelp(import.meta.url);

const { values } = parseArgs({
  args: Deno.args,
  options: {
    millions: { type: "string", default: "4.9,33.6,159.9" },
    threads: { type: "string", default: `1,${navigator.hardwareConcurrency}` },
    python: { type: "string" },
    rounds: { type: "string", default: "3" },
  },
});
const { rounds, python } = values;
const threadCounts = [...new Set(values.threads.split(",").map(Number))];
const here = (name: string) => fromFileUrl(new URL(name, import.meta.url));

async function json<T>(command: string, args: readonly string[]): Promise<T> {
  const { success, stdout } = await new Deno.Command(command, { args: [...args], stderr: "inherit" })
    .output();
  if (!success) throw new Error(`${command} ${args.join(" ")} has failed`);
  return JSON.parse(new TextDecoder().decode(stdout));
}

const ours = <T>(...args: readonly (string | number)[]) =>
  json<T>(Deno.execPath(), ["run", "-A", "-q", "--no-check", here("one_step.ts"), ...args.map(String)]);

const sum = (times: Times, names: readonly string[]): Time => ({
  cpuS: names.reduce((total, name) => total + times[name]!.cpuS, 0),
  wallS: names.reduce((total, name) => total + times[name]!.wallS, 0),
});

function line(name: string, { cpuS, wallS }: Time, base: Time | null = null): void {
  const columns = [cpuS, wallS].map((seconds) => seconds.toFixed(3).padStart(10)).join("");
  const ratio = (of: "cpuS" | "wallS", value: number) =>
    base === null ? "" : `${(base[of] / value).toFixed(1)}×`.padStart(9);
  console.log(`${name.padEnd(44)}${columns}${ratio("cpuS", cpuS)}${ratio("wallS", wallS)}`);
}

async function compare(elementCount: number): Promise<void> {
  const millions = (elementCount / 1e6).toFixed(1);
  console.log(`\n${millions} M elements`.padEnd(45) + "     CPU s      time      CPU     time");
  const before = await ours<Times>("before", elementCount, rounds);
  const all = sum(before, ["copies of the sums", "norm and AdamW", "digest"]);
  for (const [name, time] of Object.entries(before)) line(`before: ${name}`, time);
  line("before: all but the export", all);
  for (const threads of threadCounts) {
    const now = await ours<Times>("now", elementCount, rounds, threads);
    const of = threads === 1 ? "now, one thread:" : `now, ${threads} threads:`;
    line(`${of} copies of the sums`, now["copies of the sums"]!, before["copies of the sums"]);
    line(`${of} norm and AdamW`, now["norm and AdamW"]!, before["norm and AdamW"]);
    const digested = sum(before, ["norm and AdamW", "digest"]);
    line(`${of} norm, AdamW and SHA-256`, now["norm, AdamW and digest"]!, digested);
    line(`${of} norm, AdamW and fingerprint`, now["norm, AdamW and fingerprint"]!, digested);
    line(
      `${of} all but the export, SHA-256`,
      sum(now, ["copies of the sums", "norm, AdamW and digest"]),
      all,
    );
    line(
      `${of} all but the export, fingerprint`,
      sum(now, ["copies of the sums", "norm, AdamW and fingerprint"]),
      all,
    );
    line(`${of} exported state`, now["exported state"]!, before["exported state"]);
    if (python === undefined) continue;
    const peers = await json<{ times: Times; versions: Record<string, string> }>(
      python,
      [here("peers.py"), `${elementCount}`, rounds, `${threads}`],
    );
    for (const [name, time] of Object.entries(peers.times)) {
      const { cpuS } = now["norm and AdamW"]!;
      line(
        `${name} ${peers.versions[name]}, ${threads} thread${threads === 1 ? "" : "s"}`,
        time,
        before["norm and AdamW"],
      );
      console.log(`${" ".repeat(8)}its CPU seconds are ${(time.cpuS / cpuS).toFixed(2)} of ours now`);
    }
  }
}

console.log(
  `Deno ${Deno.version.deno}, V8 ${Deno.version.v8}, ${navigator.hardwareConcurrency} cores, load ${
    Deno.loadavg()[0]
  }`,
);
const { elements, differing } = await ours<{ elements: number; differing: number }>("bits", 10_000_000);
console.log(
  `bits on ${elements} random and edge values: ${differing === 0 ? "equal" : `${differing} numbers differ`}`,
);
if (differing > 0) Deno.exit(1);
for (const millions of values.millions.split(",")) {
  await compare(Math.round(Number(millions) * 1e6 / 64) * 64);
}
