/** Carries out what a run's decisions ask for: queue, log and artifact store, the job's observer, the end of the run. */
import { LoraFleetError } from "../../../shared/errors.ts";
import { STATE_FILE_NAME } from "../../../shared/protocol/state/checkpoint_format.ts";
import type { PlannedJob } from "../../planning/planned_job.ts";
import { SUSPECT_STEPS } from "../../storage/kept_states.ts";
import type { StepEffect } from "../../training/state/effects.ts";
import { appendCommit } from "./commit_log.ts";
import { failRun, type RunContext } from "./run_context.ts";
import { stepReportOf } from "./step_report.ts";
import { enqueueEvaluation, enqueueItems } from "./work_queue.ts";

type Effect<T extends StepEffect["type"]> = Extract<StepEffect, { type: T }>;

/** Starts all effects in order; see `RunContext.stored` and `reported` for what waits for what. */
export function carryOut(run: RunContext, effects: readonly StepEffect[]): void {
  const fail = (thrown: unknown) => failRun(run, thrown);
  for (const effect of effects) {
    switch (effect.type) {
      case "verdict":
        // The report's handler answers with it.
        break;
      case "event":
        run.observer.event(effect.level, effect.message);
        break;
      case "excluded":
        run.observer.microBatchExcluded(effect.step, effect);
        break;
      case "quarantine":
        run.onQuarantine(effect);
        break;
      case "enqueue":
        tellIdle(run);
        run.stored = run.stored.then(() => store(run, effect)).catch(fail);
        break;
      case "requeue":
      case "enqueueEvaluation":
      case "append":
        run.stored = run.stored.then(() => store(run, effect)).catch(fail);
        break;
      case "committed":
      case "evaluated":
      case "checkpointed":
        run.reported = run.reported.then(() => report(run, effect)).catch(fail);
        break;
      case "done":
      case "restart":
      case "failed":
        Promise.all([run.stored, run.reported]).then(() => end(run, effect)).catch(fail);
    }
  }
}

function tellIdle({ idleNotice, training, observer }: RunContext): void {
  const message = idleNotice(training.members.length);
  if (message !== null) observer.event("warn", message);
}

async function store(
  run: RunContext,
  effect: Effect<"enqueue" | "requeue" | "enqueueEvaluation" | "append">,
): Promise<void> {
  if (run.isClosed) return;
  switch (effect.type) {
    case "enqueue":
      // Workers would fetch items of a failed attempt only to drop them.
      return await enqueueItems(run, {
        step: effect.step,
        attempt: effect.attempt,
        time: 0,
        purge: effect.attempt > 1,
      });
    case "requeue":
      return await enqueueItems(run, effect);
    case "enqueueEvaluation":
      return await enqueueEvaluation(run, effect);
    case "append": {
      const { entry, expectedLast } = effect;
      const append = () => appendCommit(run.bus, entry, expectedLast, run.training.committed);
      const sequence = await run.patience.insist(append, () => run.isClosed);
      if (sequence !== null) run.apply({ type: "stored", sequence });
    }
  }
}

async function report(
  run: RunContext,
  effect: Effect<"committed" | "evaluated" | "checkpointed">,
): Promise<void> {
  if (run.isClosed) return;
  const { job, plan, observer, artifacts, gradientBytes, onDefect } = run;
  if (effect.type === "committed") {
    return await observer.stepCommitted(stepReportOf(job, plan, effect, gradientBytes.take()));
  }
  if (effect.type === "evaluated") return await observer.evaluated(effect.report);
  const { step, outcome } = effect.report;
  if (outcome.type !== "written") return;
  await observer.checkpointWritten(step, outcome.files.filter(({ name }) => name !== STATE_FILE_NAME));
  // A leftover only wastes space.
  return await artifacts.dropStates(job.id, run.training.storedStep, mayGoBack(job) ? SUSPECT_STEPS : 0)
    .catch((thrown) => onDefect(`older training states of ${job.id} are left behind`, thrown));
}

/** Whether the training goes back to an earlier state if it diverges, which it does once. */
function mayGoBack({ spec, halvedAfter = null }: PlannedJob): boolean {
  return spec.training.on_divergence === "halve_learning_rate" && halvedAfter === null;
}

/** After all other effects. */
function end(run: RunContext, effect: Effect<"done" | "restart" | "failed">): void {
  if (run.isClosed) return;
  if (effect.type === "restart") {
    run.observer.event("warn", `The job starts again: ${effect.reason}.`);
    return run.outcome.resolve("restart");
  }
  announceEnd(run);
  if (effect.type === "done") return run.outcome.resolve("done");
  const { code, message, param = null } = effect;
  throw new LoraFleetError(code, message, param === null ? {} : { param });
}

export function announceEnd(run: RunContext): void {
  run.mayAnnounceEnd = true;
  run.announcement.now();
}
