/** What workers report during a run and what they ask for: each message becomes an event, or gets its answer. */
import type { z } from "zod";
import type { Subscription } from "../../../shared/bus/bus.ts";
import { messageOf } from "../../../shared/errors.ts";
import { encodeMessage } from "../../../shared/protocol/messages_codec.ts";
import { receivedSchema, verdictAnswerSchema } from "../../../shared/protocol/messages_coordinator.ts";
import {
  type AttemptFailure,
  attemptFailureSchema,
  type CheckpointReport,
  checkpointReportSchema,
  evaluationReportSchema,
  itemRequestSchema,
  microBatchReportSchema,
  type UpdateReport,
  updateReportSchema,
} from "../../../shared/protocol/messages_worker.ts";
import * as subjects from "../../../shared/protocol/subjects.ts";
import type { StepEvent } from "../../training/state/effects.ts";
import { listenToWorkers, type WorkerMessage, type WorkerMessages } from "../listen.ts";
import { asFailure, checkCheckpoint } from "./checkpoint_files.ts";
import { serveRows } from "./rows_server.ts";
import { failRun, isCurrentRequest, type RunContext } from "./run_context.ts";
import { encodeItem } from "./work_queue.ts";

/** Four bytes per tensor, in base64. */
const MAX_REPORT_BYTES = 2 ** 20;

const RECEIVED = encodeMessage(receivedSchema, { type: "received" });

export function listenDuringRun(run: RunContext): readonly Subscription[] {
  return [
    listenToReports(run),
    answerItemRequests(run),
    listenToOutcomes(run, {
      subject: subjects.updateSubject(run.job.id, subjects.ANY),
      schema: updateReportSchema,
      what: "report of an update",
    }, (report) => ({ type: "update", report })),
    listenToOutcomes(run, {
      subject: subjects.failureSubject(run.job.id, subjects.ANY),
      schema: attemptFailureSchema,
      what: "report of a failure",
    }, (report) => ({ type: "failure", report })),
    listenToCheckpoints(run),
    listenToEvaluations(run),
    ...answerRowsRequests(run),
  ];
}

function listenToReports({ bus, job, guard, apply }: RunContext): Subscription {
  return listenToWorkers(bus, {
    subject: subjects.reportSubject(job.id, subjects.ANY),
    schema: microBatchReportSchema,
    what: "report of a micro-batch",
    maxBytes: MAX_REPORT_BYTES,
    handle: ({ payload: report, respond }) => {
      const answer = apply({ type: "report", report }).find((effect) => effect.type === "verdict");
      if (answer !== undefined) respond(encodeMessage(verdictAnswerSchema, { verdict: answer.verdict }));
    },
  }, guard);
}

function answerItemRequests(run: RunContext): Subscription {
  const { bus, job, guard, items } = run;
  return listenToWorkers(bus, {
    subject: subjects.itemSubject(job.id, subjects.ANY),
    schema: itemRequestSchema,
    what: "request for a work item",
    handle: ({ payload, respond }) => {
      const { step, attempt, index } = payload;
      if (isCurrentRequest(run, payload) && index < items(step).length) {
        respond(encodeItem(run, step, attempt, index));
      }
    },
  }, guard);
}

/** What updates and failures have in common. */
type Outcome = Pick<UpdateReport & AttemptFailure, "worker" | "incarnation" | "gradientBytesSent">;

/** How a worker ended its part of an attempt, and how many gradient bytes it has sent so far. */
function listenToOutcomes<S extends z.ZodType<Outcome>>(
  { bus, guard, gradientBytes, apply }: RunContext,
  messages: Omit<WorkerMessages<S>, "handle">,
  eventOf: (report: z.output<S>) => StepEvent,
): Subscription {
  const handle = ({ payload, respond }: WorkerMessage<z.output<S>>) => {
    gradientBytes.record(payload.incarnation, payload.gradientBytesSent);
    apply(eventOf(payload));
    respond(RECEIVED);
  };
  return listenToWorkers(bus, { ...messages, handle }, guard);
}

function listenToEvaluations({ bus, job, guard, apply }: RunContext): Subscription {
  return listenToWorkers(bus, {
    subject: subjects.evaluationSubject(job.id, subjects.ANY),
    schema: evaluationReportSchema,
    what: "report of an evaluation",
    handle: ({ payload: report, respond }) => {
      apply({ type: "evaluation", report });
      respond(RECEIVED);
    },
  }, guard);
}

function listenToCheckpoints(run: RunContext): Subscription {
  const { bus, job, guard, apply } = run;
  /** A report may arrive twice while the files of the first are still read. */
  const checking = new Set<string>();
  return listenToWorkers(bus, {
    subject: subjects.checkpointSubject(job.id, subjects.ANY),
    schema: checkpointReportSchema,
    what: "report of a checkpoint",
    handle: ({ payload, respond }) => {
      respond(RECEIVED);
      const key = `${payload.worker} ${payload.step} ${payload.outcome.type}`;
      if (checking.has(key)) return;
      checking.add(key);
      // A disk that cannot be read is as good as one that was not written to.
      const unreadable = (thrown: unknown): CheckpointReport =>
        asFailure(payload, messageOf(thrown).slice(0, 4000));
      checkCheckpoint(run, payload).catch(unreadable)
        .then((report) => apply({ type: "checkpoint", report }))
        .catch((thrown) => failRun(run, thrown))
        .finally(() => checking.delete(key));
    },
  }, guard);
}

/** Jobs with local steps only: other items carry their rows. */
function answerRowsRequests(run: RunContext): readonly Subscription[] {
  const { bus, job, startId, guard, apply } = run;
  const { local = null } = job;
  if (local === null) return [];
  return [serveRows({
    ...{ bus, job, local, startId, guard },
    isCurrent: (request) => isCurrentRequest(run, request),
    onUnanswerable: ({ step, attempt, number }, thrown) => {
      const reason = `the rows of micro-batch ${number} could not be sent: ${messageOf(thrown)}`;
      apply({ type: "notQueued", step, attempt, reason });
    },
  })];
}
