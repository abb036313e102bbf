/** The all-reduce of a model worker's sums, and the report of its update or its failure. */
import { encodeChecksums, encodeMessage } from "../../../../shared/protocol/messages_codec.ts";
import { receivedSchema, type StepState } from "../../../../shared/protocol/messages_coordinator.ts";
import {
  attemptFailureSchema,
  type RoundCheck,
  updateReportSchema,
} from "../../../../shared/protocol/messages_worker.ts";
import { CHECK_WORDS, MAX_LOCALISED_MEMBERS } from "../../../../shared/protocol/linear_check.ts";
import { placeAmong } from "../../../../shared/protocol/sorted_members.ts";
import { failureSubject, updateSubject } from "../../../../shared/protocol/subjects.ts";
import { attemptOf, isRoundOver } from "../../../../worker/step/step_action.ts";
import { askUntilAnswered } from "../world/model_ask.ts";
import { updateMs } from "../world/model_world.ts";
import type { RoundResult } from "../world/model_rounds.ts";
import type { Activity, SessionContext } from "./session_context.ts";

export function reduce(context: SessionContext, state: StepState): void {
  const { world, self, link } = context.options;
  const { sums, counted } = context;
  context.own = { ...context.own, attempt: attemptOf(state), spentIn: state.generation };
  const wanted = world.decoded.partOf(state, placeAmong(state.members, self.worker));
  const isSame = wanted.length === counted.size && wanted.every((index) => counted.has(index)) &&
    state.ledger.length === state.microBatchCount;
  if (!isSame) {
    const reason = `the ledger gives this worker ${wanted.length}, its sums hold ${counted.size}`;
    return fail(context, state, reason, [self.worker]);
  }
  const reducing = context.begin((newer) => !isRoundOver(state, newer));
  let isSummed = false;
  const part = { words: sums.words.slice(), numbers: [...sums.numbers] };
  context.gradientBytesSent += world.wireBytes;
  world.rounds.enter(state, { worker: self.worker, link }, part, (result) => {
    link.after(updateMs(world.gradientBytes), () => {
      if (!context.isDoing(reducing)) return;
      isSummed = true;
      reportUpdate(context, state, reducing, result);
    });
  });
  link.after(state.roundMs, () => {
    if (!context.isDoing(reducing) || isSummed) return;
    const missing = world.rounds.missingIn(state);
    context.activity = null;
    fail(context, state, `the all-reduce waits for ${missing.length} after ${state.roundMs} ms`, missing);
  });
}

function reportUpdate(
  context: SessionContext,
  { term, step, attempt, generation, members }: StepState,
  reducing: Activity,
  result: RoundResult,
): void {
  const { world, self, link, job } = context.options;
  const digest = result.digestAfter(context.own.committed.digest);
  context.own = { ...context.own, pending: { step, digest } };
  context.reportHeld();
  const { gradientBytesSent } = context;
  const report = encodeMessage(updateReportSchema, {
    ...{ ...self, term, step, attempt, generation, digest, gradientNorm: 1, gradientBytesSent },
    check: emptyCheck(members.length),
  });
  askUntilAnswered({
    ...{ link, data: report, answer: receivedSchema, timeoutMs: world.limits.requestTimeoutMs },
    subject: updateSubject(job.jobId, self.worker),
    isWanted: () => context.isDoing(reducing),
    take: () => context.end(reducing),
  });
}

function fail(context: SessionContext, state: StepState, reason: string, suspects: readonly string[]): void {
  const { world, self, link, job } = context.options;
  const { gradientBytesSent } = context;
  context.note(`step ${state.step}, attempt ${state.attempt} failed here: ${reason}`);
  const failing = context.begin((newer) => !isRoundOver(state, newer));
  const report = encodeMessage(attemptFailureSchema, {
    ...{ ...self, ...attemptOf(state), reason, gradientBytesSent },
    suspects: suspects.slice(0, 1000),
  });
  askUntilAnswered({
    ...{ link, data: report, answer: receivedSchema, timeoutMs: world.limits.requestTimeoutMs },
    subject: failureSubject(job.jobId, self.worker),
    isWanted: () => context.isDoing(failing),
    take: () => context.end(failing),
  });
}

/** Model workers have no gradients: all checksums are 0, in the size of a real worker's. */
function emptyCheck(memberCount: number): RoundCheck | null {
  if (memberCount < 2) return null;
  const isLarge = memberCount > MAX_LOCALISED_MEMBERS;
  const one = encodeChecksums(new Int32Array(CHECK_WORDS));
  const all = isLarge ? one : encodeChecksums(new Int32Array(CHECK_WORDS * memberCount));
  return { given: all, received: isLarge ? "" : all, total: one, result: all };
}
