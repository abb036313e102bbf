/** A worker's reports and requests about an attempt, each repeated until the coordinator answers. */
import type { z } from "zod";
import { encodeChecksums, encodeFloats, encodeMessage } from "../../shared/protocol/messages_codec.ts";
import {
  receivedSchema,
  type StepState,
  type Verdict,
  verdictAnswerSchema,
} from "../../shared/protocol/messages_coordinator.ts";
import { decodeWorkItemHeader } from "../../shared/protocol/messages_work_item.ts";
import { attemptFailureSchema, itemRequestSchema } from "../../shared/protocol/messages_worker.ts";
import {
  evaluationReportSchema,
  microBatchReportSchema,
  updateReportSchema,
} from "../../shared/protocol/messages_worker.ts";
import type { EvaluationReport, RoundCheck } from "../../shared/protocol/messages_worker.ts";
import {
  evaluationSubject,
  failureSubject,
  itemSubject,
  reportSubject,
  updateSubject,
} from "../../shared/protocol/subjects.ts";
import { askUntilAnswered, askUntilRead } from "../async/ask.ts";
import type { MicroBatchResult, UpdateResult } from "../engine/engine.ts";
import type { RoundId } from "../allreduce/round/round_id.ts";
import type { AttemptId } from "./step_action.ts";
import type { ReadItem, WorkContext } from "./work_kinds.ts";

/** The longest reason that fits a report. */
export const MAX_REASON_LENGTH = 4000;

type MicroBatchId = AttemptId & { readonly index: number };

interface Claimed extends MicroBatchResult {
  readonly computeMs: number;
  /** Of the gradient's bits; null without an audit. */
  readonly gradientDigest: string | null;
  /** Of the integers that the gradient adds to the sums; null without an audit, or before the exponents are known. */
  readonly gradientCheck: Int32Array | null;
  /** The audit assignment that it answers: the gradient goes into no sums; null for none. */
  readonly audit: number | null;
}

/** All methods reject with the signal's reason once the attempt is over. */
export class Reports {
  readonly #context: WorkContext;
  readonly #jobId: string;
  #lastClaim = 0;

  constructor(context: WorkContext, jobId: string) {
    this.#context = context;
    this.#jobId = jobId;
  }

  /** A gradient is computed and in no sum yet. Each call is a claim of its own. */
  async claim(about: MicroBatchId, claimed: Claimed, signal: AbortSignal): Promise<Verdict> {
    const { lossSum, labelCount, correctCount, maxAbs, computeMs, gradientDigest, gradientCheck, audit } =
      claimed;
    const report = encodeMessage(microBatchReportSchema, {
      ...this.#context.self,
      ...about,
      claim: ++this.#lastClaim,
      lossSum: finiteOrNull(lossSum),
      labelCount,
      correctCount,
      maxAbs: encodeFloats(maxAbs),
      computeMs,
      gradientDigest,
      gradientCheck: gradientCheck === null ? null : encodeChecksums(gradientCheck),
      audit,
    });
    return (await this.#report(reportSubject, report, verdictAnswerSchema, signal)).verdict;
  }

  async evaluated(
    { term, committed }: StepState,
    index: number,
    outcome: EvaluationReport["outcome"],
    signal: AbortSignal,
  ): Promise<void> {
    const report = { ...this.#context.self, term, step: committed!.step, index, outcome };
    const data = encodeMessage(evaluationReportSchema, report);
    await this.#report(evaluationSubject, data, receivedSchema, signal);
  }

  /** The work item of a micro-batch that this worker is assigned to compute. */
  async item(about: MicroBatchId, signal: AbortSignal): Promise<ReadItem> {
    const data = encodeMessage(itemRequestSchema, { ...this.#context.self, ...about });
    const request = this.#request(itemSubject, data, signal);
    return await askUntilRead(request, (data) => ({ header: decodeWorkItemHeader(data), data }));
  }

  async updated(
    about: RoundId,
    { digest, gradientNorm, check }: UpdateResult & { readonly check: RoundCheck | null },
    signal: AbortSignal,
  ): Promise<void> {
    const { self, telemetry: { allReduce: { bytesSent: gradientBytesSent } } } = this.#context;
    const norm = finiteOrNull(gradientNorm);
    const update = { ...self, ...about, digest, gradientNorm: norm, gradientBytesSent, check };
    await this.#report(updateSubject, encodeMessage(updateReportSchema, update), receivedSchema, signal);
  }

  async failed(
    about: AttemptId,
    why: string,
    suspects: readonly string[],
    signal: AbortSignal,
  ): Promise<void> {
    const { self, telemetry: { allReduce: { bytesSent: gradientBytesSent } } } = this.#context;
    const reason = why.slice(0, MAX_REASON_LENGTH);
    const failure = { ...self, ...about, reason, suspects: [...suspects], gradientBytesSent };
    await this.#report(failureSubject, encodeMessage(attemptFailureSchema, failure), receivedSchema, signal);
  }

  #report<S extends z.ZodType>(
    subject: typeof reportSubject,
    data: Uint8Array,
    answer: S,
    signal: AbortSignal,
  ) {
    return askUntilAnswered(this.#request(subject, data, signal), answer);
  }

  #request(subject: typeof reportSubject, data: Uint8Array, signal: AbortSignal) {
    const { control: bus, clock, limits, self } = this.#context;
    return { bus, clock, limits, subject: subject(this.#jobId, self.worker), data, signal };
  }
}

/** JSON has no NaN and no infinity. */
export function finiteOrNull(value: number): number | null {
  return Number.isFinite(value) ? value : null;
}
