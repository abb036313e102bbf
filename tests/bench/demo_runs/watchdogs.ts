/**
 * What the watchdogs say of real losses: the demo's job with its own learning rate and with 10, 100 and 1000 times as much, with a
 * tiny one, and with two different seeds. Each run prints its losses, and the step at which each watchdog speaks.
 *
 *     deno task bench:watchdogs [--workers 2] [--steps 80] [--again <file>]
 *
 * `--again` reads the losses from an earlier output and trains nothing. Then follows how often the warning of a stuck loss comes for
 * losses drawn from the run with the tiniest rate, which learns nothing, and for the same with a fall from the first step to the last.
 */
import { parseArgs } from "node:util";
import { NO_LOSSES, watchLoss } from "../../../coordinator/jobs/results/divergence.ts";
import { stuckLoss, stuckLossStep } from "../../../coordinator/planning/evaluation/stuck_loss.ts";
import { pcg32, type Prng } from "../../../shared/prng.ts";
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

function speak(name: string, losses: readonly number[], steps: number, outcome: string): void {
  const at = stuckLossStep(steps)!;
  const stuck = losses.length < at ? null : stuckLoss(losses.slice(0, at));
  console.log(`${name}: losses ${losses.map((loss) => loss.toFixed(3)).join(" ")}`);
  console.log(
    `  divergence: ${stoppedAt(losses) ?? "not seen"}; stuck after ${at} steps: ` +
      `${stuck === null ? "no" : "warned"}; the job: ${outcome}`,
  );
}

const DRAWS = 4000;

/** How often the warning comes for drawn losses. */
function warnedShare(losses: readonly number[], steps: number, fall: number, random: Prng): number {
  const mean = losses.reduce((sum, loss) => sum + loss, 0) / losses.length;
  let warned = 0;
  for (let draw = 0; draw < DRAWS; draw++) {
    const drawn = Array.from(
      { length: steps },
      (_, step) => losses[random.below(losses.length)]! - mean * fall * step / (steps - 1),
    );
    if (stuckLoss(drawn) !== null) warned++;
  }
  return warned / DRAWS;
}

/** Losses of each run in an output of this program. */
async function readAgain(path: string): Promise<{ name: string; losses: number[] }[]> {
  return (await Deno.readTextFile(path)).split("\n").flatMap((line) => {
    const found = /^([^:]+): losses ([\d. ]+)$/.exec(line);
    return found === null ? [] : [{ name: found[1]!, losses: found[2]!.split(" ").map(Number) }];
  });
}

async function trainAll(
  workers: number,
  steps: number,
): Promise<{ name: string; losses: readonly number[] }[]> {
  console.log(
    `deno ${Deno.version.deno}, the demo's job, ${steps} steps, constant rate after 5 steps of warm-up`,
  );
  const training = {
    learning_rate: RATE,
    lr_scheduler_type: "constant_with_warmup",
    warmup_steps: 5,
    save_strategy: "no",
  };
  const all: { name: string; losses: readonly number[] }[] = [];
  await lossesOf(RUNS, demoOptions(workers, steps), training, ({ name }, losses, outcome) => {
    all.push({ name, losses });
    speak(name, losses, steps, outcome);
  });
  return all;
}

if (import.meta.main) {
  const { values } = parseArgs({
    options: {
      workers: { type: "string", default: "2" },
      steps: { type: "string", default: "80" },
      again: { type: "string" },
    },
  });
  const steps = Number(values.steps);
  const { again } = values;
  const all = again === undefined ? await trainAll(Number(values.workers), steps) : await readAgain(again);
  if (again !== undefined) {
    for (const { name, losses } of all) speak(name, losses, steps, "not trained again");
  }
  const frozen = all.find(({ name }) => name === "rate x 0.001")!.losses;
  for (const fall of [0, 0.1, 0.2, 0.3]) {
    const shares = [10, 16, 20, 40].map((count) =>
      `${count}: ${(100 * warnedShare(frozen, count, fall, pcg32(1))).toFixed(0)} %`
    );
    console.log(`stuck, a fall of ${100 * fall} %: warned after ${shares.join(", ")}`);
  }
}
