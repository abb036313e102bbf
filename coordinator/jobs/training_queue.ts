/** The second stage of a job's life: one job trains at a time, and the next one's data is kept ready meanwhile. */
import type { LoraFleetError } from "../../shared/errors.ts";
import { isFinished } from "./record/job.ts";
import type { JobContext } from "./job_context.ts";
import type { JobLine } from "./job_line.ts";
import type { StageParts } from "./job_work.ts";
import { trainJob } from "./train_job.ts";

/** How long a free fleet waits for the data of an older job while a younger one's is ready. */
const PATIENCE_MS = 10_000;

interface TrainingQueue {
  /** Starts the next job if none trains. Call it after every change that may have made a job ready. */
  startNext(): void;
  trainingId(): string | null;
  /** Ends what is done ahead for a job that does not train yet. */
  interrupt(id: string, reason: LoraFleetError): void;
  /** Resolves once the current work has ended. */
  ended(): Promise<void>;
}

export function createTrainingQueue(context: JobContext, parts: StageParts, line: JobLine): TrainingQueue {
  const { clock, onDefect, mayStart = () => true } = context;
  const { stopped } = parts;
  const warmUp = createWarmUp(context, parts);
  let training: { readonly id: string; readonly ended: Promise<void> } | null = null;
  let isWaiting = false;

  const startNext = (): void => {
    const next = stopped.aborted || training !== null || !mayStart() ? null : line.next();
    if (next === null) return;
    if (next.kind === "wait") return waitFor(next.older);
    const { id } = next;
    const ended = runTraining(context, parts, id).catch((thrown) => onDefect(`job ${id} is stuck`, thrown))
      .finally(() => {
        training = null;
        startNext();
      });
    training = { id, ended };
    const following = line.queuedBeside(id);
    if (following !== null) warmUp.start(following);
  };

  const waitFor = (older: readonly string[]): void => {
    if (isWaiting) return;
    isWaiting = true;
    clock.sleep(PATIENCE_MS, stopped).then(() => {
      line.markOverdue(older);
      isWaiting = false;
      startNext();
    }, () => {});
  };

  return {
    startNext,
    trainingId: () => training?.id ?? null,
    interrupt: warmUp.interrupt,
    async ended() {
      await warmUp.ended();
      await training?.ended;
    },
  };
}

async function runTraining(
  context: JobContext,
  { work, requestOf }: StageParts,
  id: string,
): Promise<void> {
  await work.run(id, async (signal) => await trainJob(context, await requestOf(id, signal), signal));
  const { status } = context.journal.get(id);
  if (isFinished(status)) await context.fleet.forget(id, status === "succeeded" ? "done" : status);
}

/** Readies one job's data at a time: a long queue may have more data than the cache holds. */
function createWarmUp({ warm }: JobContext, { requestOf, stopped }: StageParts) {
  interface Warming {
    readonly id: string;
    readonly controller: AbortController;
    readonly ended: Promise<void>;
  }
  let warming: Warming | null = null;
  return {
    start(id: string): void {
      if (warming?.id === id) return;
      const controller = new AbortController();
      const ended = requestOf(id, AbortSignal.any([controller.signal, stopped])).then(warm)
        // A failure repeats in the job's own turn, which reports it.
        .catch(() => {})
        .finally(() => {
          if (warming === own) warming = null;
        });
      const own: Warming = { id, controller, ended };
      warming = own;
    },
    interrupt(id: string, reason: LoraFleetError): void {
      if (warming?.id === id) warming.controller.abort(reason);
    },
    ended: async () => await warming?.ended,
  };
}
