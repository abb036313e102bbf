/**
 * What the watchdogs say of real losses: the demo's job with its own learning rate and with 10, 100 and 1000 times as much, with a
 * tiny one, and with two different seeds. Each run prints its losses, and the step at which each watchdog speaks.
 *
 *     deno task bench:watchdogs [--workers 2] [--steps 100]
 */
import { parseArgs } from "node:util";
import { NO_LOSSES, watchLoss } from "../../../coordinator/jobs/results/divergence.ts";
import { stuckLoss, stuckLossStep } from "../../../coordinator/planning/evaluation/stuck_loss.ts";
import { demoOptions, lossesOf, type Run } from "./demo_run.ts";
import { exitWithHelp } from "../../documents/head_help.ts";

exitWithHelp(import.meta.url);

/** The demo's own. */
const RATE = 1e-2;
const RUNS: readonly Run[] = [
  { name: "the demo", change: {} },
  { name: "seed 43", change: { seed: 43 } },
  ...[10, 100, 1000].map((times) => ({
    name: `rate x ${times}`,
    change: {},
    training: { learning_rate: times * RATE },
  })),
  ...[1e-3, 1e-2, 1e-1].map((times) => ({
    name: `rate x ${times}`,
    change: {},
    training: { learning_rate: times * RATE },
  })),
];

/** The step at which a run is stopped as divergent; null: never. */
function stoppedAt(losses: readonly number[]): number | null {
  let watch = NO_LOSSES;
  for (const [index, loss] of losses.entries()) {
    const { watch: next, reason } = watchLoss(watch, index + 1, loss);
    if (reason !== null) return index + 1;
    watch = next;
  }
  return null;
}

if (import.meta.main) {
  const { values } = parseArgs({
    options: { workers: { type: "string", default: "2" }, steps: { type: "string", default: "100" } },
  });
  const steps = Number(values.steps);
  const options = demoOptions(Number(values.workers), steps);
  console.log(
    `deno ${Deno.version.deno}, the demo's job, ${steps} steps, constant rate after 5 steps of warm-up`,
  );
  const training = {
    learning_rate: RATE,
    lr_scheduler_type: "constant_with_warmup",
    warmup_steps: 5,
    save_strategy: "no",
  };
  const at = stuckLossStep(steps)!;
  await lossesOf(RUNS, options, training, ({ name }, losses, outcome) => {
    const stuck = losses.length < at ? null : stuckLoss(losses.slice(0, at));
    console.log(`${name}: losses ${losses.map((loss) => loss.toFixed(3)).join(" ")}`);
    console.log(
      `  divergence: ${stoppedAt(losses) ?? "not seen"}; stuck after ${at} steps: ` +
        `${stuck === null ? "no" : "warned"}; the job: ${outcome}`,
    );
  });
}
