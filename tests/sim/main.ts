/**
 * `deno task sim`: a fleet in memory under faults drawn from a seed, beside an undisturbed run of the same job. The same seed
 * gives the same trace hash. docs/simulation.md says what is real and what is modelled.
 *
 *     deno task sim [--seed 1] [--workers 20] [--faults 100] [--steps 24] [--micro-batches <two for each worker>]
 *                   [--compute-ms 200-1200] [--parameters 1000000] [--codec exact|int8] [--link-mbit 500-1000]
 *                   [--latency-ms 1-20] [--broker-gbit 100, 0 for no limit] [--heartbeat-ms 250, 1000 from 200 workers on]
 *                   [--trace <file for the whole history>]
 *     deno task sim --deep …        real agents and the real all-reduce, for up to a hundred workers
 *
 * Exit codes: 0 finished with nothing lost or doubled and the undisturbed digest, 1 not, 2 usage.
 */
import { LoraFleetError } from "../../shared/errors.ts";
import { runAtScale } from "./model/scale_run.ts";
import { parseOptions, type SimOptions } from "./scale_options.ts";
import { isRight, summaryOf } from "./scale_summary.ts";
import { soak } from "./soak.ts";
import { exitWithHelp } from "../documents/head_help.ts";

exitWithHelp(import.meta.url);

async function main(): Promise<number> {
  const options = parseOptions(Deno.args);
  return options.isDeep ? await deep(options) : await atScale(options);
}

async function atScale({ scale, tracePath }: SimOptions): Promise<number> {
  const startedAt = performance.now();
  using file = tracePath === null
    ? null
    : await Deno.open(tracePath, { write: true, create: true, truncate: true });
  const encoder = new TextEncoder();
  const onLine = (line: string) => void file?.writeSync(encoder.encode(`${line}\n`));
  const result = await runAtScale({ ...scale, ...file === null ? {} : { onLine } });
  for (const line of summaryOf(scale, result, performance.now() - startedAt)) console.log(line);
  return isRight(result) ? 0 : 1;
}

async function deep({ scale }: SimOptions): Promise<number> {
  const startedAt = performance.now();
  const { seed, totalSteps, microBatchesPerStep } = scale;
  const { limits: _, ...options } = scale;
  const undisturbed = await soak({ ...options, faultCount: 0, workerCount: 1 });
  const disturbed = await soak(options);
  for (const fault of disturbed.faults) console.log(fault);
  const isSame = disturbed.digests.join() === undisturbed.digests.join();
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
