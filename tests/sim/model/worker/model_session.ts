/**
 * A model worker with the job loaded, under one membership: `worker/job/job_session.ts` and `worker/step/train_step.ts` with
 * times in place of a GPU. `worker/step/step_action.ts` itself decides what comes next, and every message is a real one.
 */
import { decodeMessage } from "../../../../shared/protocol/messages_codec.ts";
import type { StepState } from "../../../../shared/protocol/messages_coordinator.ts";
import { recoverRequestSchema } from "../../../../shared/protocol/messages_worker.ts";
import { encodeStateFrame } from "../../../../shared/protocol/state/state_frame.ts";
import { recoverSubject, stateSubject } from "../../../../shared/protocol/subjects.ts";
import { isNewerState } from "../../../../shared/protocol/terms.ts";
import { type Action, mayLeave, nextAction, sameCommit } from "../../../../worker/step/step_action.ts";
import { wordsOfDigest } from "../world/contribution.ts";
import { checkpoint } from "./checkpoint.ts";
import { computeNext, letGo } from "./compute.ts";
import { recover } from "./recover.ts";
import { reduce } from "./reduce.ts";
import { type Busy, type ModelSessionOptions, SessionContext } from "./session_context.ts";

export interface ModelSession {
  readonly busy: Busy | null;
  readonly gradientBytesSent: number;
  readonly microBatchesDone: number;
  mayLeave(hasOthers: boolean): boolean;
  close(): void;
}

/** As in `worker/recovery/serve_state.ts`. */
const SERVING_MS = 10_000;

export function startModelSession(options: ModelSessionOptions): ModelSession {
  const { world, self, job: { jobId, startId }, link, now } = options;
  const context = new SessionContext(options, () => look(context, close));
  let servedAt = -Infinity;

  const subscriptions = [
    link.hear(stateSubject(jobId), (data) => {
      const state = world.decoded.step(data);
      const { newest } = context;
      if (state.startId !== startId || (newest !== null && !isNewerState(state, newest))) return;
      context.newest = state;
      context.look();
      options.onLook();
    }),
    link.serve(recoverSubject(jobId, self.worker), (data) => {
      const request = decodeMessage(recoverRequestSchema, data, "a request for the committed state");
      const { committed } = context.own;
      const isHeld = request.startId === startId && sameCommit(request.committed, committed);
      if (isHeld) servedAt = now();
      const words = isHeld ? wordsOfDigest(committed.digest) : new Int32Array(0);
      return encodeStateFrame({ jobId, startId }, request.committed.step, request.offset, words);
    }),
  ];

  function close(): void {
    if (context.isClosed) return;
    context.isClosed = true;
    context.busy = null;
    letGo(context);
    context.claiming?.nak();
    for (const subscription of subscriptions) subscription.close();
  }

  // Sums of an earlier membership count no more; its update may have been committed meanwhile.
  if (context.own.pending === null) context.forget(context.own.committed);
  return {
    get busy() {
      return context.busy;
    },
    get gradientBytesSent() {
      return context.gradientBytesSent;
    },
    get microBatchesDone() {
      return context.microBatchesDone;
    },
    mayLeave: (hasOthers) =>
      mayLeave(context.newest, context.own, { hasOthers, isServing: now() - servedAt < SERVING_MS }),
    close,
  };
}

/** Does what is missing until something takes time; that activity looks again when it ends. */
function look(context: SessionContext, close: () => void): void {
  while (!context.isClosed && context.newest !== null) {
    const { newest, activity } = context;
    if (activity !== null) {
      if (activity.isFixed || activity.isWanted(newest)) return;
      context.activity = null;
      activity.onStop();
    }
    const { action } = nextAction(newest, context.own);
    if (action !== "compute" && action !== "commit" && action !== "rollback") letGo(context);
    if (!act(context, action, newest, close)) return;
  }
}

/** Returns whether there may be more to do at once. */
function act(context: SessionContext, action: Action, state: StepState, close: () => void): boolean {
  const { own } = context;
  switch (action) {
    case "commit":
      context.note(`commits step ${own.pending!.step}`);
      context.forget(own.pending!);
      return true;
    case "rollback":
      context.forget(own.committed);
      return true;
    case "compute":
      return computeNext(context, state);
    case "reduce":
      reduce(context, state);
      return true;
    case "recover":
      recover(context, state);
      return true;
    case "checkpoint":
      checkpoint(context, state);
      return true;
    case "evaluate": // no job of the model evaluates
    case "wait":
      return false;
    case "end":
      close();
      context.options.onOver();
      return false;
  }
}
