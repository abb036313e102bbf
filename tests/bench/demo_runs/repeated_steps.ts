/**
 * How many steps of a real model's training are computed twice, because a gradient outgrew its exponents (docs/decisions/0038), beside
 * tokens/s and the time left at each step. The rows are those of tests/bench/extraction_rows.py.
 *
 *     deno task bench:repeats --model <folder> --rows <train.jsonl> [--workers 2] [--micro-batches 8] [--steps 40]
 *                             [--learning-rate 1e-3]
 */
import { parseArgs } from "node:util";
import { resolve } from "@std/path";
import type { StepMetrics } from "../../../deploy/client/api_client.ts";
import { exitWithHelp } from "../../documents/head_help.ts";
import { eventsOf } from "./demo_run.ts";

exitWithHelp(import.meta.url);

const HEAD = "step attempt    loss  tokens/s  s left  step s  of them discarded";

/** A step may begin with a probe of one micro-batch: what it discarded is a small part of it, not all (docs/decisions/0038). */
function rowOf(metrics: StepMetrics): string {
  const { step, attempt = NaN, train_loss, tokens_per_second, eta_seconds, step_seconds = NaN } = metrics;
  const { tokens = NaN } = metrics;
  const discarded = Math.max(0, step_seconds - tokens / tokens_per_second);
  return [
    String(step).padStart(4),
    String(attempt).padStart(8),
    train_loss.toFixed(4).padStart(8),
    tokens_per_second.toFixed(1).padStart(10),
    eta_seconds.toFixed(0).padStart(8),
    step_seconds.toFixed(1).padStart(8),
    discarded.toFixed(1).padStart(19),
  ].join("");
}

if (import.meta.main) {
  const { values } = parseArgs({
    options: {
      ...{ model: { type: "string" }, rows: { type: "string" } },
      ...{ workers: { type: "string", default: "2" }, steps: { type: "string", default: "40" } },
      ...{ "micro-batches": { type: "string", default: "8" } },
      "learning-rate": { type: "string", default: "1e-3" },
    },
  });
  const { model, rows } = values;
  if (model === undefined || rows === undefined) throw new Error("--model and --rows are needed");
  const [workerCount, maxSteps] = [Number(values.workers), Number(values.steps)];
  const options = {
    ...{ modelFolder: resolve(model), datasetPath: resolve(rows), evalDatasetPath: null, outFolder: "" },
    ...{ workerCount, maxSteps, ignoreGpu: false, ownModel: true, ownDataset: true },
  };
  const training = {
    gradient_accumulation_steps: Number(values["micro-batches"]),
    learning_rate: Number(values["learning-rate"]),
  };
  const change = { dataset: { max_seq_length: 128, packing: false } };
  console.log(
    `deno ${Deno.version.deno}, ${workerCount} workers, ${maxSteps} steps of ${
      values["micro-batches"]
    } micro-batches of 1 chat, learning rate ${values["learning-rate"]}, load average at the start ` +
      `${Deno.loadavg()[0]!.toFixed(1)}`,
  );
  console.log(HEAD);
  const again: number[] = [];
  const job = await eventsOf({ name: "repeats", change, training }, options, (event) => {
    if (event.kind === "message") return event.level === "info" ? undefined : console.log(event.message);
    const { metrics } = event;
    console.log(rowOf(metrics));
    if ((metrics.attempt ?? 1) > 1) again.push(metrics.step);
  });
  const which = again.length === 0 ? "none" : again.join(", ");
  console.log(`the job has ${job.status}; steps with more than one attempt: ${which}`);
}
