/**
 * Loss and bytes of local steps: the demo's job, with the same rows in every run. A step has a quarter of the demo's
 * micro-batches, so that there are enough steps for inner loops of 50.
 *
 *     deno task bench:local-steps [--workers 2] [--steps 600] [--all | --only "exact|H = 8"]
 *
 * The outer optimizer is the paper's, at the demo's learning rate and at a fifth of it; then none: the replicas' plain
 * mean. The last runs isolate the cost of fresh moments: one replica without an outer optimizer is plain AdamW with its
 * moments reset every H steps.
 */
import { parseArgs } from "node:util";
import { demoOptions, type Run, train, type Trained } from "./demo_run.ts";
import { exitWithHelp } from "../../documents/head_help.ts";

exitWithHelp(import.meta.url);

const MICRO_BATCHES_PER_STEP = 2;
/** A fifth of the demo's rate. */
const LOWER_RATE = { learning_rate: 2e-3 };
const PLAIN_MEAN = { outer_learning_rate: 1, outer_momentum: 0 };
const PAPER = { outer_learning_rate: 0.7, outer_momentum: 0.9 };
/** The table shows mean losses over windows of this many data steps. */
const WINDOW = 100;

function local(name: string, inner_steps: number, change = {}, training = {}): Run {
  return { name, training, change: { fleet: { local_steps: { inner_steps, replicas: 2, ...change } } } };
}

const RUNS: readonly Run[] = [
  { name: "exact", change: {} },
  ...[8, 25, 50].map((inner) => local(`H = ${inner}`, inner, PAPER)),
  { name: "exact, lr/5", change: {}, training: LOWER_RATE },
  ...[8, 25, 50].map((inner) => local(`H = ${inner}, lr/5`, inner, PAPER, LOWER_RATE)),
  ...[8, 25, 50].map((inner) => local(`H = ${inner}, mean`, inner, PLAIN_MEAN)),
  ...[8, 50].map((inner) => local(`fresh, ${inner}`, inner, { ...PLAIN_MEAN, replicas: 1 })),
];

/** Without `--all`: about ten minutes on two cores. */
const SHORT = "exact|H = 8|H = 25|H = 50|H = 8, mean|H = 25, mean|H = 50, mean";

/** The mean loss of data steps first … last; an outer step's loss stands for each of its data steps. */
function meanLoss({ losses }: Trained, first: number, last: number): number {
  let sum = 0;
  for (let dataStep = first; dataStep <= last; dataStep++) {
    sum += losses.find((step) => step.dataStep >= dataStep)!.loss;
  }
  return sum / (last - first + 1);
}

function table(all: readonly Trained[], stepCount: number): string {
  const cells = (first: string, rest: readonly string[]) =>
    first.padEnd(24) + rest.map((cell) => cell.padStart(15)).join("");
  const windows = Array.from(
    { length: Math.ceil(stepCount / WINDOW) },
    (_, i) => [i * WINDOW + 1, Math.min(stepCount, (i + 1) * WINDOW)] as const,
  );
  return [
    cells("", all.map(({ name }) => name)),
    ...windows.map(([first, last]) =>
      cells(`mean loss, ${first} to ${last}`, all.map((run) => meanLoss(run, first, last).toFixed(4)))
    ),
    cells("held-out loss", all.map(({ heldOutLoss }) => heldOutLoss.toFixed(4))),
    cells("held-out exact match", all.map(({ exactMatch }) => exactMatch.toFixed(3))),
    cells("exchanges", all.map(({ losses }) => String(losses.length))),
    cells("gradient bytes", all.map(({ gradientBytes }) => String(gradientBytes))),
  ].join("\n");
}

if (import.meta.main) {
  const { values } = parseArgs({
    args: Deno.args,
    options: {
      workers: { type: "string", default: "2" },
      steps: { type: "string", default: "600" },
      all: { type: "boolean", default: false },
      only: { type: "string", default: SHORT },
    },
  });
  const stepCount = Number(values.steps);
  const options = demoOptions(Number(values.workers), stepCount);
  const wanted = values.only.split("|");
  const trained: Trained[] = [];
  for (const run of RUNS.filter(({ name }) => values.all || wanted.includes(name))) {
    trained.push(await train(run, options, { gradient_accumulation_steps: MICRO_BATCHES_PER_STEP }));
    console.error(`${run.name}: held-out loss ${trained.at(-1)!.heldOutLoss.toFixed(4)}`);
  }
  const gpus = trained[0]!.gpuNames.join(" and ");
  const what = `${stepCount} data steps of ${MICRO_BATCHES_PER_STEP} micro-batches`;
  console.log(
    `deno ${Deno.version.deno}, the demo's job with ${what} on ${gpus}\n${table(trained, stepCount)}`,
  );
}
