/** The announced states of one start of a job: the newest, and what depends on it. */
import type { Bus } from "../../shared/bus/bus.ts";
import { LoraFleetError, messageOf } from "../../shared/errors.ts";
import type { Log } from "../../shared/log.ts";
import { decodeMessage } from "../../shared/protocol/messages_codec.ts";
import { type StepState, stepStateSchema } from "../../shared/protocol/messages_coordinator.ts";
import { stateSubject } from "../../shared/protocol/subjects.ts";
import { isNewerState } from "../../shared/protocol/terms.ts";
import { createChange } from "../async/change.ts";

export interface Watch {
  readonly signal: AbortSignal;
  end(): void;
}

export interface StepStates {
  readonly newest: StepState | null;
  /** Resolves when the newest state is not `seen`. Rejects when closed. */
  after(seen: StepState | null): Promise<void>;
  /** The signal aborts at the first state for which `holds` is false, and when closed. */
  watch(holds: (state: StepState) => boolean): Watch;
  /** Aborts when closed. */
  readonly closed: AbortSignal;
  close(): void;
}

export function listenToStates(
  bus: Bus,
  job: Pick<StepState, "jobId" | "startId">,
  log: Log,
): StepStates {
  const change = createChange();
  const closed = new AbortController();
  const watches = new Set<{ holds: (state: StepState) => boolean; over: AbortController }>();
  let newest: StepState | null = null;

  const subscription = bus.subscribe(stateSubject(job.jobId), ({ data }) => {
    let state: StepState;
    try {
      state = decodeMessage(stepStateSchema, data, `the state of ${job.jobId}`);
    } catch (thrown) {
      return log("warn", messageOf(thrown));
    }
    // Announcements may overtake each other, and those of an earlier start may be late.
    if (state.startId !== job.startId || (newest !== null && !isNewerState(state, newest))) return;
    newest = state;
    for (const { holds, over } of watches) {
      if (!holds(state)) over.abort(new LoraFleetError("aborted", "the coordinator has moved on"));
    }
    change.notify();
  });

  return {
    get newest() {
      return newest;
    },
    closed: closed.signal,
    async after(seen) {
      for (;;) {
        closed.signal.throwIfAborted();
        const next = change.next();
        if (newest !== seen) return;
        await next;
      }
    },
    watch(holds) {
      const entry = { holds, over: new AbortController() };
      if (newest !== null && !holds(newest)) entry.over.abort();
      watches.add(entry);
      return {
        signal: AbortSignal.any([entry.over.signal, closed.signal]),
        end: () => void watches.delete(entry),
      };
    },
    close() {
      subscription.close();
      closed.abort(new LoraFleetError("aborted", "the worker has left this job"));
      change.notify();
    },
  };
}
