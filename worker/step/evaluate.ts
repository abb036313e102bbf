/**
 * Evaluates one micro-batch of the validation rows on the committed state. Its result is in no sum of this worker, and the same
 * from any worker with this GPU: a report that is lost, late or doubled costs a computation and nothing else.
 */
import { messageOf } from "../../shared/errors.ts";
import type { WorkItem } from "../../shared/bus/bus.ts";
import type { StepState } from "../../shared/protocol/messages_coordinator.ts";
import { decodeWorkItemRows } from "../../shared/protocol/messages_work_item.ts";
import { finiteOrNull, MAX_REASON_LENGTH } from "./reports.ts";
import { isEvaluating } from "./step_action.ts";
import type { StepContext } from "./step_context.ts";
import { inStepSpan } from "./step_spans.ts";
import { acknowledge, type TakenWork } from "./take_work.ts";
import type { ReadItem } from "./work_kinds.ts";
import { keepWorking } from "./work_source.ts";

/** Reports the result, or that this worker cannot compute it; then other workers do. */
export async function evaluate(step: StepContext, work: TakenWork, state: StepState): Promise<void> {
  // A damaged item: the coordinator hands its micro-batch out again. There are no assignments between two steps.
  if (work.type !== "item") return;
  const { states, log, mine, reports } = step;
  const { item, read } = work;
  const { index } = read.header;
  const { signal, end } = states.watch((newer) => isEvaluating(state, newer));
  try {
    await computeAndReport(step, item, read, state, signal);
    acknowledge(item, log);
  } catch (thrown) {
    // Once the evaluation is over the item is useless; until then a peer may take it at once.
    if (signal.aborted && !states.closed.aborted) return acknowledge(item, log);
    item.nak();
    if (signal.aborted) return;
    mine.failEvaluation(state);
    const reason = messageOf(thrown).slice(0, MAX_REASON_LENGTH);
    log(
      "warn",
      `evaluating micro-batch ${index} after step ${read.header.step} failed on this worker: ${reason}`,
    );
    await reports.evaluated(state, index, { type: "failed", reason }, signal).catch((failed) => {
      if (!signal.aborted) throw failed;
    });
  } finally {
    end();
  }
}

async function computeAndReport(
  step: StepContext,
  item: WorkItem,
  { header, data }: ReadItem,
  state: StepState,
  signal: AbortSignal,
): Promise<void> {
  const { engine, clock, reports, telemetry } = step;
  const { step: committed, index } = header;
  const done = new AbortController();
  keepWorking(item, step, done.signal);
  telemetry.setBusy({ step: committed, attempt: 0, index });
  try {
    const startedAt = clock.now();
    const batch = decodeWorkItemRows(data);
    const evaluating = () => engine.evaluate(batch);
    const { lossSum, labelCount, correctCount } = await inStepSpan(
      step,
      state,
      "evaluate",
      { index },
      evaluating,
    );
    telemetry.throughput.add(batch.tokens.length);
    signal.throwIfAborted();
    const computeMs = clock.now() - startedAt;
    const result = {
      type: "evaluated",
      lossSum: finiteOrNull(lossSum),
      labelCount,
      correctCount,
      computeMs,
    } as const;
    await reports.evaluated(state, index, result, signal);
  } finally {
    done.abort();
    telemetry.setBusy(null);
  }
}
