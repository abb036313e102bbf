/**
 * `deno task test:chaos`: a job on a fleet of processes (coordinator, broker, workers) under faults drawn from a seed, beside the same
 * job without any. The adapter has to be the same, and each micro-batch in it exactly once.
 *
 *     deno task test:chaos [--seed 1] [--runs 1] [--faults 20] [--workers 4] [--engine toy|gpu]
 *
 * `--runs` takes as many seeds, from `--seed` on. The toy engine needs no GPU: everything but the model is real. Exit codes: 0 as it
 * should be, 1 not, or a median out of bounds, 2 usage.
 */
import { parseArgs } from "node:util";
import { dirname } from "@std/path";
import { ensureSetup } from "../../deploy/setup/ensure.ts";
import { LoraFleetError, messageOf, quote } from "../../shared/errors.ts";
import { pcg32 } from "../../shared/prng.ts";
import { drawFaults } from "./faults.ts";
import { complaintsAbout, seconds, summarise, TABLE_HEAD, tableLine } from "./report.ts";
import { run, type RunOptions, type RunOutcome } from "./run.ts";
import { exitWithHelp } from "../documents/head_help.ts";

exitWithHelp(import.meta.url);

/** What the toy's micro-batch takes: faults then fall into all phases of a step. */
const GRADIENT_MS = 60;
/** Between two faults lies a commit, and mostly one more. */
const STEPS_EACH = 3;

interface Options extends Pick<RunOptions, "engine" | "workerCount"> {
  readonly seed: number;
  readonly runCount: number;
  readonly faultCount: number;
}

function parseOptions(args: string[]): Options {
  const text = { type: "string" } as const;
  const options = { seed: text, runs: text, faults: text, workers: text, engine: text };
  let values;
  try {
    values = parseArgs({ args, options }).values;
  } catch (thrown) {
    throw new LoraFleetError("usage", messageOf(thrown), { cause: thrown });
  }
  const number = (name: "seed" | "runs" | "faults" | "workers", otherwise: number, least: number): number => {
    const given = values[name];
    if (given === undefined) return otherwise;
    if (/^\d+$/.test(given) && Number(given) >= least && Number(given) < 2 ** 31) return Number(given);
    throw new LoraFleetError(
      "usage",
      `--${name} is ${quote(given)}; a whole number from ${least} on is needed`,
    );
  };
  const engine = values.engine ?? "toy";
  if (engine !== "toy" && engine !== "gpu") {
    throw new LoraFleetError("usage", `--engine is ${quote(engine)}; "toy" or "gpu" is needed`);
  }
  return {
    engine,
    seed: number("seed", 1, 0),
    runCount: number("runs", 1, 1),
    faultCount: number("faults", 20, 1),
    workerCount: number("workers", 4, 3),
  };
}

async function runSeed(seed: number, options: Options): Promise<RunOutcome & { readonly isGood: boolean }> {
  const stepCount = 2 + STEPS_EACH * options.faultCount;
  const common = { ...options, seed, stepCount };
  console.log(
    `\nseed ${seed}: ${options.faultCount} faults, ${options.workerCount} workers, ${stepCount} steps`,
  );
  const undisturbed = await run({ ...common, workerCount: 2, faults: [], gradientMs: 0, onFault: () => {} });
  console.log(TABLE_HEAD);
  const outcome = await run({
    ...common,
    faults: drawFaults(pcg32(seed), options.faultCount, stepCount),
    gradientMs: GRADIENT_MS,
    onFault: (fault) => console.log(tableLine(fault)),
  });
  const { books, corrupted, duplicated, adapterSha256, starts, totalMs } = outcome;
  const complaints = complaintsAbout(outcome, undisturbed.adapterSha256);
  console.log(
    `${books.stepCount} steps in ${
      seconds(totalMs)
    } s; ${corrupted} chunks corrupted, ${duplicated} messages doubled` +
      (starts > 1 ? `; the job began again ${starts - 1} times` : ""),
  );
  console.log(
    `ledger of ${books.microBatchCount} micro-batches: ${books.lost.length} lost, ${books.doubled.length} counted twice`,
  );
  console.log(`adapter            ${adapterSha256}`);
  console.log(`without any fault  ${undisturbed.adapterSha256}`);
  for (const complaint of complaints) console.log(`NOT GOOD: ${complaint}`);
  return { ...outcome, isGood: complaints.length === 0 };
}

async function main(): Promise<number> {
  const options = parseOptions(Deno.args);
  const { natsServerPath } = await ensureSetup({ log: (line) => console.error(line), ignoreGpu: true });
  // Debian's nats-server lies in /usr/sbin, which is not on everybody's PATH.
  Deno.env.set("PATH", `${Deno.env.get("PATH") ?? ""}:${dirname(natsServerPath)}`);
  const outcomes = [];
  for (let seed = options.seed; seed < options.seed + options.runCount; seed++) {
    outcomes.push(await runSeed(seed, options));
  }
  console.log("");
  const { lines, isWithinBounds } = summarise(outcomes);
  for (const line of lines) console.log(line);
  const good = outcomes.filter(({ isGood }) => isGood).length;
  console.log(
    `${good} of ${outcomes.length} seeds gave the adapter of a run without faults, each micro-batch once`,
  );
  return good === outcomes.length && isWithinBounds ? 0 : 1;
}

try {
  Deno.exit(await main());
} catch (thrown) {
  const isUsage = thrown instanceof LoraFleetError && thrown.code === "usage";
  console.error(`chaos: ${isUsage ? messageOf(thrown) : thrown instanceof Error ? thrown.stack : thrown}`);
  Deno.exit(isUsage ? 2 : 1);
}
