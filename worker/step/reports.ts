/** A worker's words about an attempt, each repeated until the coordinator has answered it. */
import type { z } from "zod";
import type { Bus } from "../../shared/bus/bus.ts";
import type { Clock } from "../../shared/clock.ts";
import type { Limits } from "../../shared/protocol/limits.ts";
import { encodeChecksums, encodeFloats, encodeMessage } from "../../shared/protocol/messages_codec.ts";
import {
  type MemberRef,
  receivedSchema,
  type Verdict,
  verdictAnswerSchema,
} from "../../shared/protocol/messages_coordinator.ts";
import { decodeWorkItemHeader } from "../../shared/protocol/messages_work_item.ts";
import {
  attemptFailureSchema,
  itemRequestSchema,
  microBatchReportSchema,
  type RoundCheck,
  updateReportSchema,
} from "../../shared/protocol/messages_worker.ts";
import { failureSubject, itemSubject, reportSubject, updateSubject } from "../../shared/protocol/subjects.ts";
import { askUntilAnswered, askUntilRead } from "../async/ask.ts";
import type { MicroBatchResult, UpdateResult } from "../engine/engine.ts";
import type { AttemptId } from "./step_action.ts";
import type { ReadItem } from "./work_kinds.ts";

/** As much as the message takes. */
const MAX_REASON_LENGTH = 4000;

interface ReportsOptions {
  readonly bus: Bus;
  readonly jobId: string;
  readonly self: MemberRef;
  readonly clock: Clock;
  readonly limits: Limits;
  /** The gradient bytes so far go with each update and failure. */
  readonly traffic: { readonly bytesSent: number };
}

interface Claimed extends MicroBatchResult {
  readonly computeMs: number;
  /** Of the gradient's bits; null where nobody wants to know. */
  readonly gradientDigest: string | null;
  /** Of the integers that are added for it; null as above, or where the exponents are not known yet. */
  readonly gradientCheck: Int32Array | null;
  /** The assignment that it answers, where it is an audit: the gradient goes into no sums. */
  readonly audit: number | null;
}

/** All of them reject with the signal's reason once the attempt is over. */
export interface Reports {
  /** A gradient is computed and in no sum yet. Each call is a claim of its own. */
  claim(
    about: AttemptId & { readonly index: number },
    claimed: Claimed,
    signal: AbortSignal,
  ): Promise<Verdict>;
  /** The work item of a micro-batch that this worker is assigned to compute. */
  item(about: AttemptId & { readonly index: number }, signal: AbortSignal): Promise<ReadItem>;
  updated(
    about: AttemptId & { readonly generation: number },
    result: UpdateResult & { readonly check: RoundCheck | null },
    signal: AbortSignal,
  ): Promise<void>;
  failed(about: AttemptId, reason: string, suspects: readonly string[], signal: AbortSignal): Promise<void>;
}

export function createReports(options: ReportsOptions): Reports {
  const { bus, jobId, self, clock, limits, traffic } = options;
  let lastClaim = 0;

  function ask<S extends z.ZodType>(subject: string, data: Uint8Array, answer: S, signal: AbortSignal) {
    const timeoutMs = limits.requestTimeoutMs;
    return askUntilAnswered({ bus, clock, subject, data, answer, timeoutMs, signal });
  }

  return {
    async claim({ term, step, attempt, index }, claimed, signal) {
      const { lossSum, labelCount, maxAbs, computeMs, gradientDigest, gradientCheck, audit } = claimed;
      const report = encodeMessage(microBatchReportSchema, {
        ...self,
        term,
        step,
        attempt,
        index,
        claim: ++lastClaim,
        lossSum: finiteOrNull(lossSum),
        labelCount,
        maxAbs: encodeFloats(maxAbs),
        computeMs,
        gradientDigest,
        gradientCheck: gradientCheck === null ? null : encodeChecksums(gradientCheck),
        audit,
      });
      return (await ask(reportSubject(jobId, self.worker), report, verdictAnswerSchema, signal)).verdict;
    },
    async item({ term, step, attempt, index }, signal) {
      const data = encodeMessage(itemRequestSchema, { ...self, term, step, attempt, index });
      const subject = itemSubject(jobId, self.worker);
      const request = { bus, clock, subject, data, timeoutMs: limits.requestTimeoutMs, signal };
      return await askUntilRead(request, (data) => ({ header: decodeWorkItemHeader(data), data }));
    },
    async updated({ term, step, attempt, generation }, { digest, gradientNorm, check }, signal) {
      const report = encodeMessage(updateReportSchema, {
        ...self,
        term,
        step,
        attempt,
        generation,
        digest,
        gradientNorm: finiteOrNull(gradientNorm),
        gradientBytesSent: traffic.bytesSent,
        check,
      });
      await ask(updateSubject(jobId, self.worker), report, receivedSchema, signal);
    },
    async failed({ term, step, attempt }, reason, suspects, signal) {
      const report = encodeMessage(attemptFailureSchema, {
        ...self,
        term,
        step,
        attempt,
        reason: reason.slice(0, MAX_REASON_LENGTH),
        suspects: [...suspects],
        gradientBytesSent: traffic.bytesSent,
      });
      await ask(failureSubject(jobId, self.worker), report, receivedSchema, signal);
    },
  };
}

/** JSON knows no other. */
function finiteOrNull(value: number): number | null {
  return Number.isFinite(value) ? value : null;
}
