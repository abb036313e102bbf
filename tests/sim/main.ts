/**
 * `deno task sim`: a fleet in memory under faults drawn from a seed, beside an undisturbed run of the same job. The same seed
 * gives the same trace hash.
 *
 *     deno task sim [--seed 1] [--workers 20] [--faults 100] [--steps 20] [--micro-batches <two for each worker>]
 *
 * Exit codes: 0 the same digests, 1 not, 2 usage.
 */
import { parseArgs } from "node:util";
import { LoraFleetError, messageOf, quote } from "../../shared/errors.ts";
import { soak, type SoakOptions } from "./soak.ts";

/** How long the faults go on, in the fleet's time. */
const FAULT_MS_EACH = 500;

function parseOptions(args: string[]): SoakOptions {
  const text = { type: "string" } as const;
  const options = { seed: text, workers: text, faults: text, steps: text, "micro-batches": text };
  let values;
  try {
    values = parseArgs({ args, options }).values;
  } catch (thrown) {
    throw new LoraFleetError("usage", messageOf(thrown), { cause: thrown });
  }
  const number = (name: keyof typeof options, otherwise: number, least: number): number => {
    const given = values[name];
    if (given === undefined) return otherwise;
    if (/^\d+$/.test(given) && Number(given) >= least && Number(given) < 2 ** 32) return Number(given);
    throw new LoraFleetError(
      "usage",
      `--${name} is ${quote(given)}; a whole number from ${least} on is needed`,
    );
  };
  const workerCount = number("workers", 20, 1);
  const faultCount = number("faults", 100, 0);
  return {
    seed: number("seed", 1, 0),
    workerCount,
    faultCount,
    faultsWithinMs: Math.max(1, faultCount * FAULT_MS_EACH),
    totalSteps: number("steps", 20, 1),
    microBatchesPerStep: number("micro-batches", 2 * workerCount, 1),
    checkpointEvery: 5,
    computeMs: [500, 3000],
    withinMs: 24 * 3_600_000,
  };
}

async function main(): Promise<number> {
  const options = parseOptions(Deno.args);
  const startedAt = performance.now();
  const undisturbed = await soak({ ...options, faultCount: 0, workerCount: 1 });
  const disturbed = await soak(options);
  for (const fault of disturbed.faults) console.log(fault);
  const isSame = disturbed.digests.join() === undisturbed.digests.join();
  const { totalSteps, microBatchesPerStep, seed } = options;
  console.log(
    `seed ${seed}, ${disturbed.faults.length} faults in ${
      disturbed.simulatedMs / 1000
    } s of the fleet's time`,
  );
  console.log(
    `${totalSteps} steps of ${microBatchesPerStep} micro-batches, ${
      disturbed.commitCount - totalSteps
    } steps done again`,
  );
  console.log(`trace ${disturbed.traceHash}`);
  console.log(`adapter ${disturbed.digests.at(-1)}, undisturbed ${undisturbed.digests.at(-1)}`);
  console.log(
    isSame
      ? "0 micro-batches lost, 0 counted twice"
      : "the digests differ: something was lost or counted twice",
  );
  console.log(`after ${((performance.now() - startedAt) / 1000).toFixed(1)} s`);
  return isSame ? 0 : 1;
}

try {
  Deno.exit(await main());
} catch (thrown) {
  if (!(thrown instanceof LoraFleetError) || thrown.code !== "usage") throw thrown;
  console.error(`sim: ${thrown.message}`);
  Deno.exit(2);
}
