import { assertEquals } from "@std/assert";
import { parseJobRequest } from "../../job_request/parse.ts";
import type { PlannedJob } from "../../planning/planned_job.ts";
import { openSqliteJobStore } from "../stores/sqlite_job_store.ts";
import { LossGuard } from "./loss_guard.ts";

const { spec } = parseJobRequest({ model: "org/tiny", training_file: "file-a" });
const resumed_state = { model: "ft:org/tiny::ftjob-a:ckpt-step-10", step: 10, digest: "d" };

/** What a job of 100 steps says about these losses; it restarts after one of its steps. */
async function watched(
  { first, restartAfter, isResumed, lossOf }: {
    readonly first: number;
    readonly restartAfter: number;
    readonly isResumed: boolean;
    readonly lossOf: (step: number) => number;
  },
) {
  const store = openSqliteJobStore(":memory:");
  const job = { id: "a", totalSteps: 100, spec: isResumed ? { ...spec, resumed_state } : spec };
  const warnings: string[] = [];
  const start = () =>
    new LossGuard(
      { store, clock: { sleep: () => Promise.resolve() } },
      job as Partial<PlannedJob> as PlannedJob,
      (message) => warnings.push(message),
    );
  let guard = start();
  guard.starting(first - 1);
  let divergedAt: number | null = null;
  for (let step = first; step <= 100 && divergedAt === null; step++) {
    const data = { step, train_loss: lossOf(step) };
    store.appendEvents([{ jobId: "a", createdAt: 1, level: "info", type: "metrics", message: "m", data }]);
    if (await guard.committed(step, lossOf(step)) !== null) divergedAt = step;
    if (step !== restartAfter) continue;
    guard = start();
    guard.starting(step);
  }
  return { warnings: warnings.length, divergedAt };
}

Deno.test("a loss that stays where an earlier job had brought it is no loss that does not move off its start", async () => {
  const lossOf = () => 1.5;
  const fresh = await watched({ first: 1, restartAfter: 50, isResumed: false, lossOf });
  const resumed = await watched({ first: 11, restartAfter: 50, isResumed: true, lossOf });
  assertEquals([fresh.warnings, resumed.warnings], [1, 0]);
});

Deno.test("after a restart, too, a resumed job's losses are compared with those of its own first steps", async () => {
  const lossOf = (step: number) => step <= 40 ? 1.5 : 9;
  assertEquals(await watched({ first: 11, restartAfter: 45, isResumed: true, lossOf }), {
    warnings: 0,
    divergedAt: 65,
  });
});
