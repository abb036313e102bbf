/** A short run of `deno task test:chaos`: processes are killed and stopped, chunks spoilt, and the adapter is the same. */
import { assert, assertEquals } from "@std/assert";
import { pcg32 } from "../../shared/prng.ts";
import { drawFaults } from "../chaos/faults.ts";
import { complaintsAbout, tableLine } from "../chaos/report.ts";
import { run } from "../chaos/run.ts";

/** Its first eight faults are of eight types, all kills among them. */
const SEED = 307;
const FAULTS = 8;
const STEPS = 2 + 3 * FAULTS;

Deno.test("eight faults of all kinds: each micro-batch once, and the adapter of a run without faults", async () => {
  const faults = drawFaults(pcg32(SEED), FAULTS, STEPS);
  const types = new Set(faults.map(({ fault }) => fault.type));
  for (const type of ["kill worker", "kill owner", "kill coordinator", "kill broker", "corrupt"] as const) {
    assert(types.has(type), `seed ${SEED} has no "${type}": ${[...types].join(", ")}`);
  }
  const common = { seed: SEED, stepCount: STEPS, engine: "toy" } as const;
  const undisturbed = await run({ ...common, workerCount: 2, faults: [], gradientMs: 0, onFault: () => {} });
  assertEquals(complaintsAbout(undisturbed, undisturbed.adapterSha256), []);
  const outcome = await run({
    ...common,
    ...{ workerCount: 4, faults, gradientMs: 60 },
    onFault: (fault) => console.log(tableLine(fault)),
  });
  assertEquals(complaintsAbout(outcome, undisturbed.adapterSha256), []);
  assertEquals(outcome.faults.length, FAULTS);
  assert(outcome.corrupted > 0, "no chunk was spoilt");
  assertEquals(outcome.starts, 1, "the job has begun again");
});
