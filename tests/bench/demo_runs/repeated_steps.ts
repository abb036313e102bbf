/**
 * How many steps of a training are computed twice, because a gradient outgrew its exponents (docs/decisions/0038), beside tokens/s and
 * the time left at each step, and what the adapter is worth.
 *
 *     deno task bench:repeats [--model <folder> --rows <train.jsonl>]   Default: the demo's job.
 *       [--held-out <eval.jsonl>]    rows that the adapter answers, scored by this repository's code
 *       [--workers 2] [--steps 40]
 *       [--micro-batches 8] [--learning-rate 1e-3]   for a model of one's own
 *       [--checkout <folder>]        of which coordinator and workers are started; default: this one
 *       [--beside <folder>]          the same by that checkout at the same time, each side on a core of its own (Linux)
 *       [--swap]                     with --beside: the other core for each
 *       [--json <file>]              all numbers; without --beside, instead of the table at the end
 *
 * The rows of docs/benchmarks/real_model.txt are those of tests/bench/extraction_rows.py.
 */
import { parseArgs } from "node:util";
import { basename, fromFileUrl, join, resolve } from "@std/path";
import type { DemoOptions } from "../../../deploy/demo/options.ts";
import { exitWithHelp } from "../../documents/head_help.ts";
import { demoOptions, watchRun, whenAsked } from "./demo_run.ts";
import { comparison, HEAD, repeatedSteps, rowOf, type Side, type TimedStep } from "./repeats_report.ts";

exitWithHelp(import.meta.url);

const text = { type: "string" } as const;
const { values } = parseArgs({
  options: {
    ...{ model: text, rows: text, "held-out": text, checkout: text, beside: text, json: text },
    ...{ workers: { ...text, default: "2" }, steps: { ...text, default: "40" } },
    ...{ "micro-batches": { ...text, default: "8" }, "learning-rate": { ...text, default: "1e-3" } },
    swap: { type: "boolean", default: false },
  },
});

function optionsOf(): DemoOptions {
  const { model, rows } = values;
  const demo = demoOptions(Number(values.workers), Number(values.steps));
  if (model === undefined && rows === undefined) return demo;
  if (model === undefined || rows === undefined) throw new Error("--model and --rows are needed, or neither");
  const heldOut = values["held-out"];
  return {
    ...{ ...demo, modelFolder: resolve(model), datasetPath: resolve(rows), ownModel: true, ownDataset: true },
    evalDatasetPath: heldOut === undefined ? null : resolve(heldOut),
  };
}

/** The demo's job has its own values. */
function changeOf({ ownModel }: DemoOptions) {
  if (!ownModel) return { change: {}, training: {} };
  const training = {
    gradient_accumulation_steps: Number(values["micro-batches"]),
    learning_rate: Number(values["learning-rate"]),
  };
  return { change: { dataset: { max_seq_length: 128, packing: false } }, training };
}

async function measure(checkout: string | undefined): Promise<Side> {
  const options = optionsOf();
  const { change, training } = changeOf(options);
  const how = Object.entries(training).map(([name, value]) => `, ${name} ${value}`).join("");
  console.log(
    `deno ${Deno.version.deno}, ${basename(options.modelFolder)}, ${options.workerCount} workers, ` +
      `${options.maxSteps} steps${how}, load average at the start ${Deno.loadavg()[0]!.toFixed(1)}`,
  );
  console.log(HEAD);
  const steps: TimedStep[] = [];
  const { job, adapterSha256, score } = await watchRun(
    { name: "repeats", change, training },
    options,
    (event) => {
      if (event.kind === "message") return event.level === "info" ? undefined : console.log(event.message);
      steps.push({ metrics: event.metrics, at: performance.now() / 1000 });
      console.log(rowOf(event.metrics));
    },
    checkout === undefined ? undefined : resolve(checkout),
  );
  const which = repeatedSteps(steps).join(", ") || "none";
  console.log(
    `the job has ${job.status}; load average at the end ${Deno.loadavg()[0]!.toFixed(1)}; ` +
      `steps with more than one attempt: ${which}`,
  );
  const scores = { heldOutLoss: score?.eval_loss ?? null, exactMatch: score?.exact_match ?? null };
  return {
    name: checkout === undefined ? "this" : basename(checkout),
    steps,
    status: job.status,
    adapterSha256,
    ...scores,
  };
}

/** Each side in a process that has one core, and so have the processes that it starts. */
async function measureOnCore(core: number, checkout: string | null, json: string): Promise<Side> {
  const own = Object.entries(values).flatMap(([name, value]) =>
    typeof value === "string" && !["beside", "checkout", "json"].includes(name) ? [`--${name}`, value] : []
  );
  const which = checkout === null ? [] : ["--checkout", checkout];
  const script = fromFileUrl(import.meta.url);
  const deno = [Deno.execPath(), "run", "-A", "-q", "--no-check", script, ...own, ...which, "--json", json];
  const child = new Deno.Command("taskset", {
    ...{ args: ["-c", String(core), ...deno], stdout: "piped", stderr: "inherit" },
  }).spawn();
  using _ = whenAsked(() => child.kill("SIGTERM"));
  const { success, stdout } = await child.output();
  console.log(`${checkout === null ? "now" : "before"}, core ${core}: ${new TextDecoder().decode(stdout)}`);
  if (!success) throw new Error(`${checkout ?? "this checkout"} has failed`);
  return JSON.parse(await Deno.readTextFile(json))[0];
}

async function measureBeside(beside: string): Promise<Side[]> {
  const folder = await Deno.makeTempDir({ prefix: "lorafleet-repeats-" });
  try {
    const cores = values.swap ? [1, 0] : [0, 1];
    const sides = [
      measureOnCore(cores[0]!, resolve(beside), join(folder, "before.json")),
      measureOnCore(cores[1]!, values.checkout ?? null, join(folder, "now.json")),
    ] as const;
    // If one fails, the other ends before its files go.
    await Promise.allSettled(sides);
    const [before, now] = await Promise.all(sides);
    return [{ ...before, name: "before" }, { ...now, name: "now" }];
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

if (import.meta.main) {
  const { beside, checkout, json } = values;
  const sides = beside === undefined ? [await measure(checkout)] : await measureBeside(beside);
  const isTold = json === undefined || beside !== undefined;
  if (isTold && sides.every(({ steps }) => steps.length > 0)) console.log(comparison(sides));
  if (json !== undefined) await Deno.writeTextFile(json, JSON.stringify(sides));
  Deno.exit(sides.every(({ status }) => status === "succeeded") ? 0 : 1);
}
