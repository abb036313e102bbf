/** The first stage of a job's life: its data is prepared, which finds what is wrong with it. */
import { createTurns } from "../planning/preparation/turns.ts";
import type { JobContext } from "./job_context.ts";
import { checkStepsLeft } from "./results/resumed.ts";
import type { StageParts } from "./job_work.ts";

/** So a bad file is reported soon, and no large one holds up all others. */
const MAX_VALIDATIONS = 2;

interface ValidationQueue {
  /** Prepares a job in its turn. */
  add(id: string): void;
  /** Resolves once the validations that were added have ended. */
  ended(): Promise<void>;
}

/** @param onEnd called after each validation, successful or not */
export function createValidationQueue(
  { journal, prepare, onDefect }: JobContext,
  { work, requestOf, stopped }: StageParts,
  onEnd: () => void,
): ValidationQueue {
  /** By job: one that is paused and resumed may still be ending its first validation. */
  const validations = new Map<string, Promise<void>>();
  const turns = createTurns(MAX_VALIDATIONS);

  const validate = async (id: string): Promise<void> => {
    if (stopped.aborted || journal.get(id).status !== "validating_files") return;
    await work.run(id, async (signal) => {
      const request = await requestOf(id, signal);
      const { totalSteps } = await prepare(request);
      signal.throwIfAborted();
      checkStepsLeft(request.spec, totalSteps);
      await journal.write(() => journal.apply(id, { type: "validated", totalSteps }), signal);
    });
    onEnd();
  };

  return {
    add(id) {
      const validation = (validations.get(id) ?? Promise.resolve())
        .then(() => turns.next(stopped))
        .then((endTurn) => validate(id).finally(endTurn))
        .catch((thrown) => {
          if (!stopped.aborted) onDefect(`job ${id} is stuck`, thrown);
        })
        .finally(() => {
          if (validations.get(id) === validation) validations.delete(id);
        });
      validations.set(id, validation);
    },
    ended: async () => void await Promise.all(validations.values()),
  };
}
