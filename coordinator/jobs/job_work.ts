/** Work in progress on jobs. It can be interrupted, which is not a failure; anything else that it throws fails the job. */
import { LoraFleetError, messageOf } from "../../shared/errors.ts";
import type { JobContext, RequestOf } from "./job_context.ts";
import type { JobError } from "./record/job.ts";

export interface JobWork {
  /** Runs `work`; resolves when it is done, interrupted, or stored as the job's failure. */
  run(id: string, work: (signal: AbortSignal) => Promise<void>): Promise<void>;
  interrupt(id: string, reason: LoraFleetError): void;
  interruptAll(reason: LoraFleetError): void;
}

/** What both stages of a job's life need. */
export interface StageParts {
  readonly work: JobWork;
  readonly requestOf: RequestOf;
  /** Ends all waiting; nothing starts afterwards. */
  readonly stopped: AbortSignal;
}

export function createJobWork({ journal, onDefect }: Pick<JobContext, "journal" | "onDefect">): JobWork {
  const controllers = new Map<string, AbortController>();

  const fail = async (id: string, thrown: unknown, signal: AbortSignal): Promise<void> => {
    if (signal.aborted) return;
    if (!(thrown instanceof LoraFleetError)) onDefect(`job ${id} failed`, thrown);
    const failed = { type: "failed", error: jobErrorOf(thrown) } as const;
    await unlessAborted(signal, journal.write(() => journal.apply(id, failed, { level: "error" }), signal));
  };

  return {
    async run(id, work) {
      const controller = new AbortController();
      controllers.set(id, controller);
      try {
        await work(controller.signal);
      } catch (thrown) {
        await fail(id, thrown, controller.signal);
      } finally {
        // A job that was paused and resumed meanwhile may already have new work.
        if (controllers.get(id) === controller) controllers.delete(id);
      }
    },
    interrupt: (id, reason) => controllers.get(id)?.abort(reason),
    interruptAll(reason) {
      for (const controller of controllers.values()) controller.abort(reason);
    },
  };
}

/** Waits for a write; an interruption that drops it is not an error. */
export async function unlessAborted(signal: AbortSignal, written: Promise<unknown>): Promise<void> {
  await written.catch((thrown) => {
    if (!signal.aborted) throw thrown;
  });
}

function jobErrorOf(thrown: unknown): JobError {
  if (thrown instanceof LoraFleetError) {
    return { code: thrown.code, message: thrown.message, param: thrown.param };
  }
  const message = `an internal error of lorafleet: ${messageOf(thrown)}`;
  return { code: "internal_error", message, param: null };
}
