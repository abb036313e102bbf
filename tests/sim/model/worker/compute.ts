/** Micro-batches of a model worker: pulled, computed, claimed, as `worker/step/work_source.ts` does it. */
import type { WorkItem } from "../../../../shared/bus/bus.ts";
import { encodeFloats, encodeMessage } from "../../../../shared/protocol/messages_codec.ts";
import { type StepState, verdictAnswerSchema } from "../../../../shared/protocol/messages_coordinator.ts";
import { decodeWorkItemHeader, type WorkItemHeader } from "../../../../shared/protocol/messages_work_item.ts";
import { microBatchReportSchema } from "../../../../shared/protocol/messages_worker.ts";
import { reportSubject, workQueueName } from "../../../../shared/protocol/subjects.ts";
import { attemptOf, isOver, placeOf } from "../../../../worker/step/step_action.ts";
import { addMicroBatch, lossSumOf, maxAbsOf } from "../world/contribution.ts";
import { askUntilAnswered } from "../world/model_ask.ts";
import type { Activity, SessionContext } from "./session_context.ts";

/** As in `worker/step/work_source.ts`. */
const MAX_NAKS = 5;

/** Hands back the item that has not been begun. */
export function letGo(context: SessionContext): void {
  const { inHand } = context;
  if (inHand !== null && inHand.deliveryCount <= MAX_NAKS) inHand.nak();
  context.inHand = null;
}

/** Begins the item in hand, or pulls one. Returns whether there may be more to do at once. */
export function computeNext(context: SessionContext, state: StepState): boolean {
  const { job: { jobId, startId, specHash }, link, world: { limits } } = context.options;
  const item = context.inHand;
  if (item === null) {
    pull(context);
    return false;
  }
  const header = decodeWorkItemHeader(item.data);
  const isOurs = header.jobId === jobId && header.startId === startId && header.specHash === specHash;
  const place = isOurs ? placeOf(header, state) : "older";
  if (place === "newer") {
    const waiting = context.begin((newer) => newer === state);
    link.after(2 * limits.announcementIntervalMs, () => {
      if (!context.isDoing(waiting)) return;
      letGo(context);
      context.end(waiting);
    });
    return false;
  }
  context.inHand = null;
  if (place === "older" || context.counted.has(header.index)) void item.ack();
  else compute(context, item, header, state);
  return true;
}

function pull(context: SessionContext): void {
  if (context.isPulling) return;
  context.isPulling = true;
  const { link, job, world } = context.options;
  link.pull(workQueueName(job.jobId), world.limits.pullTimeoutMs, (item) => {
    context.isPulling = false;
    if (context.isClosed) return item?.nak();
    context.inHand = item;
    context.look();
  });
}

function compute(context: SessionContext, item: WorkItem, header: WorkItemHeader, state: StepState): void {
  const { world, link, random, paceMs, now } = context.options;
  const { step, attempt, index } = header;
  context.own = { ...context.own, attempt: attemptOf(state) };
  context.busy = { step, attempt, index, since: now() };
  const computing = context.begin((newer) => !isOver(attemptOf(state), newer), {
    isFixed: true,
    onStop: () => finish(context, item),
  });
  keepWorking(context, item, computing);
  const computeMs = Math.round(paceMs * (0.8 + 0.4 * random.uniform()));
  link.after(computeMs, () => {
    world.computed();
    context.microBatchesDone++;
    if (context.isClosed) return item.nak();
    computing.isFixed = false;
    if (context.newest !== null && !computing.isWanted(context.newest)) return context.look();
    claim(context, item, header, state, { computing, computeMs });
  });
}

/** Extends the item's ack wait while it is being computed. */
function keepWorking(context: SessionContext, item: WorkItem, computing: Activity): void {
  const { link, world: { limits } } = context.options;
  const extend = () => {
    if (!context.isDoing(computing)) return;
    item.working();
    link.after(limits.microBatchAckWaitMs / 3, extend);
  };
  link.after(limits.microBatchAckWaitMs / 3, extend);
}

/** Reports the micro-batch; its sums count if the verdict says so. */
function claim(
  context: SessionContext,
  item: WorkItem,
  { step, attempt, index, number }: WorkItemHeader,
  { term, exponents }: StepState,
  { computing, computeMs }: { readonly computing: Activity; readonly computeMs: number },
): void {
  const { world, self, link, job } = context.options;
  context.claiming = item;
  const report = encodeMessage(microBatchReportSchema, {
    ...{ ...self, term, step, attempt, index, claim: ++context.lastClaim },
    ...{ lossSum: lossSumOf(number), labelCount: 4, maxAbs: encodeFloats(maxAbsOf(number)), computeMs },
  });
  askUntilAnswered({
    ...{ link, data: report, answer: verdictAnswerSchema, timeoutMs: world.limits.requestTimeoutMs },
    subject: reportSubject(job.jobId, self.worker),
    isWanted: () => context.isDoing(computing),
    take: ({ verdict }) => {
      if (verdict === "counted" && exponents !== null) {
        context.counted.add(index);
        const times = world.timesAdded(self.worker, number);
        for (let time = 0; time < times; time++) addMicroBatch(context.sums, number);
      }
      context.note(`${index} of step ${step}, attempt ${attempt}: ${verdict}`);
      finish(context, item);
      context.end(computing);
    },
  });
}

function finish(context: SessionContext, item: WorkItem): void {
  context.busy = null;
  context.claiming = null;
  void item.ack();
}
