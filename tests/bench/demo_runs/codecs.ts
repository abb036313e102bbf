/**
 * Loss and bytes of each codec: the demo's job with each, and once more with a different seed, which shows how much two
 * runs differ anyway.
 *
 *     deno task bench:codecs [--workers 2] [--steps 40]
 */
import { parseArgs } from "node:util";
import { demoOptions, type Run, train, type Trained } from "./demo_run.ts";
import { exitWithHelp } from "../../documents/head_help.ts";

exitWithHelp(import.meta.url);

const RUNS: readonly Run[] = [
  { name: "exact", change: {} },
  { name: "int8", change: { fleet: { gradient_codec: "int8" } } },
  { name: "exact, seed 43", change: { seed: 43 } },
];

function table(all: readonly Trained[]): string {
  const cells = (first: string, rest: readonly string[]) =>
    first.padEnd(22) + rest.map((cell) => cell.padStart(16)).join("");
  const steps = all[0]!.losses.map((_, index) => index).filter((index) => index % 5 === 4 || index === 0);
  return [
    cells("", all.map(({ name }) => name)),
    ...steps.map((index) =>
      cells(`loss at step ${index + 1}`, all.map(({ losses }) => losses[index]!.loss.toFixed(4)))
    ),
    cells("held-out loss", all.map(({ heldOutLoss }) => heldOutLoss.toFixed(4))),
    cells("held-out exact match", all.map(({ exactMatch }) => exactMatch.toFixed(3))),
    cells("gradient bytes", all.map(({ gradientBytes }) => String(gradientBytes))),
  ].join("\n");
}

if (import.meta.main) {
  const { values } = parseArgs({
    args: Deno.args,
    options: { workers: { type: "string", default: "2" }, steps: { type: "string", default: "40" } },
  });
  const options = demoOptions(Number(values.workers), Number(values.steps));
  const trained: Trained[] = [];
  for (const run of RUNS) trained.push(await train(run, options));
  const gpus = trained[0]!.gpuNames.join(" and ");
  console.log(`deno ${Deno.version.deno}, the demo's job on ${gpus}\n${table(trained)}`);
}
