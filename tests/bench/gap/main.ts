/**
 * What a fleet's GPUs wait for between two steps: a coordinator, its broker and workers as processes, the demo's model with so high a
 * rank that the adapter has as many millions of parameters as wanted, and micro-batches of about 20 tokens, so that a step is mostly gap.
 *
 *     deno task bench:gap [--millions 1,33.6] [--workers 1,2] [--steps 8]
 *
 * Per worker and million parameters this takes 36 MB of main memory, and 12 MB more on a driver that computes on the CPU.
 */
import { parseArgs } from "node:util";
import { dirname, fromFileUrl, join } from "@std/path";
import { TextLineStream } from "@std/streams";
import { exitWithHelp } from "../../documents/head_help.ts";
import {
  jobOf,
  startCoordinatorChild,
  submitJob,
  until,
  withFolder,
} from "../../integration/coordinator_child.ts";
import { quantile } from "../statistics.ts";
import { PHASES, type Phases, phasesOf, totalOf } from "./phases.ts";
import { type TimedCall, timedCallSchema } from "./timed_engine.ts";

exitWithHelp(import.meta.url);

/** LoRA parameters of each rank on all linear layers of the demo's model. */
const PARAMETERS_A_RANK = 9728;
/** The first steps compile kernels and touch memory for the first time. */
const WARM_UP_STEPS = 2;
const TOKENS = 32;

const { values } = parseArgs({
  options: {
    millions: { type: "string", default: "1,33.6" },
    workers: { type: "string", default: "1,2" },
    steps: { type: "string", default: "8" },
  },
});

async function measure(workers: number, rank: number, steps: number): Promise<Phases[]> {
  let calls: TimedCall[] = [];
  await withFolder(async (folder) => {
    await using coordinator = startCoordinatorChild(join(folder, "data"));
    const joinUrl = await coordinator.joinUrl();
    const names = Array.from({ length: workers }, (_, index) => `worker-${index + 1}`);
    const children = names.map((name) => startWorker(joinUrl, name, join(folder, name)));
    try {
      const api = coordinator.api();
      await until("the workers", async () => {
        return (await (await fetch(`${api}/workers`)).json()).data.length === workers;
      });
      const id = await submitJob(
        api,
        {
          ...{ max_steps: steps + WARM_UP_STEPS + 1, gradient_accumulation_steps: 2 * workers },
          ...{ per_device_train_batch_size: 1, save_strategy: "no", logging_steps: 1 },
        },
        {},
        {
          lora: { r: rank, lora_alpha: rank, target_modules: "all-linear" },
          dataset: { max_seq_length: TOKENS, packing: false },
        },
      );
      const isOver = async () => ["succeeded", "failed"].includes((await jobOf(api, id)).status);
      await until("the job's end", isOver, coordinator.stderr, 600_000);
      const { status, error } = await jobOf(api, id);
      if (status !== "succeeded") throw new Error(`the job has ${status}: ${JSON.stringify(error)}`);
    } finally {
      for (const { child } of children) child.kill("SIGTERM");
      calls = (await Promise.all(children.map(({ ended }) => ended))).flat();
    }
  });
  const all = new Set(calls.map(({ worker }) => worker));
  return [...all].flatMap((worker) => phasesOf(calls, worker).slice(WARM_UP_STEPS));
}

function startWorker(joinUrl: string, name: string, cacheFolder: string) {
  const script = fromFileUrl(new URL("./worker_process.ts", import.meta.url));
  const child = new Deno.Command(Deno.execPath(), {
    args: [
      ...["run", "-A", "-q", "--unstable-webgpu", "--no-check", script],
      ...["--join", joinUrl, "--name", name, "--cache-folder", cacheFolder],
    ],
    // Mesa's CPU driver asks for a folder of its own.
    env: { XDG_RUNTIME_DIR: dirname(cacheFolder) },
    ...{ stdin: "null", stdout: "piped", stderr: "inherit" },
  }).spawn();
  return { child, ended: callsOf(child) };
}

async function callsOf({ stdout, status }: Deno.ChildProcess): Promise<TimedCall[]> {
  const calls: TimedCall[] = [];
  const lines = stdout.pipeThrough(new TextDecoderStream()).pipeThrough(new TextLineStream());
  for await (const line of lines) {
    if (line.startsWith("{")) calls.push(timedCallSchema.parse(JSON.parse(line)));
  }
  await status;
  return calls;
}

const row = (name: string, cells: readonly (number | string)[]) =>
  console.log(name.padEnd(28) + cells.map((cell) => String(cell).padStart(10)).join(""));

const WHAT: Readonly<Record<(typeof PHASES)[number], string>> = {
  claim: "last gradient counted",
  addition: "added to the sums",
  round: "news of the round",
  readback: "readback",
  allReduce: "all-reduce",
  update: "update and digest",
  decision: "report to commit",
  commit: "commit, rest of the upload",
  work: "next micro-batch",
};

console.log(
  `deno ${Deno.version.deno}, ${navigator.hardwareConcurrency} cores, load ${Deno.loadavg()[0]!.toFixed(1)}`,
);
for (const millions of values.millions.split(",").map(Number)) {
  const rank = Math.max(64, Math.round(1e6 * millions / PARAMETERS_A_RANK / 64) * 64);
  for (const workers of values.workers.split(",").map(Number)) {
    const phases = await measure(workers, rank, Number(values.steps));
    const parameters = (rank * PARAMETERS_A_RANK / 1e6).toFixed(1);
    console.log(`\n${parameters} M parameters, ${workers} workers, ${phases.length} gaps, ms`);
    row("", ["median", "90 %", "longest"]);
    const cells = (numbers: readonly number[]) =>
      [quantile(numbers, 0.5), quantile(numbers, 0.9), Math.max(...numbers)].map((ms) => ms.toFixed(1));
    for (const name of PHASES) row(WHAT[name], cells(phases.map((of) => of[name])));
    row("from last to first", cells(phases.map(totalOf)));
  }
}
