/** The second half of a step: all-reduce of the sums, then the update, then its report. */
import { quote } from "../../shared/errors.ts";
import type { StepState } from "../../shared/protocol/messages_coordinator.ts";
import { roundCheckOf } from "../allreduce/round/round_check.ts";
import { exponentBytes } from "../local_steps/inner_loop.ts";
import { type ArrivingSums, withSums } from "./arriving_sums.ts";
import { AttemptProblem } from "./in_attempt.ts";
import type { StepContext } from "./step_context.ts";
import { inStepSpan } from "./step_spans.ts";

/** Rejects with the signal's reason once the round is over. */
export async function reduceAndUpdate(
  step: StepContext,
  state: StepState,
  signal: AbortSignal,
): Promise<void> {
  const { engine, mine, reports, job } = step;
  const { term, step: number, attempt, generation, exponents, labelCount, learningRate, digestKind } = state;
  mine.spend(generation);
  assertLedger(step, state);
  if (exponents === null) throw new AttemptProblem("the round has no exponents: nothing was summed", []);
  // A changed membership reads the same sums again, into the same memory: the round before must no longer send from it.
  if (mine.round !== null) step.allReduce.release(mine.round);
  const round = { term, step: number, attempt, generation };
  const { sums, check } = await withSums(engine, signal, (own, signal) => {
    mine.round = round;
    const attributes = { generation, bytes: own.sums.byteLength };
    const reduce = () => allReduce(step, state, own, exponents, signal);
    return inStepSpan(step, state, "all-reduce", attributes, reduce);
  });
  mine.setPending(null);
  const replicaCount = state.ledger.filter((owner) => owner !== null).length;
  const update = {
    ...{ sums, exponents: exponentBytes(exponents), labelCount, learningRate, updateNumber: number },
    ...{ replicaCount, digestKind: digestKind ?? "sha256" as const, ...job.optimizer },
  };
  const result = await inStepSpan(step, state, "update", {}, () => engine.update(update));
  assertFinite(result.gradientNorm, labelCount);
  mine.setPending({ step: number, digest: result.digest });
  await reports.updated(round, { ...result, check }, signal);
}

async function allReduce(
  { allReduce, layout, mine }: StepContext,
  { members, weights, checkSeed, roundMs }: StepState,
  { sums, arrival }: ArrivingSums,
  exponents: readonly (number | null)[],
  signal: AbortSignal,
) {
  const reduced = await allReduce.reduce({
    round: mine.round!,
    members: members.map(({ worker }) => worker),
    ...{ weights, sums, checkSeed, signal, deadlineMs: roundMs, ...arrival && { arrival } },
    units: layout.tensors.map(({ offset }, index) => ({ offset, exponent: exponents[index] ?? 0 })),
  });
  return { sums: reduced.sums, check: reduced.checksums === null ? null : roundCheckOf(reduced.checksums) };
}

/** Sums that disagree with the coordinator's ledger would be wrong on every worker. */
function assertLedger({ mine, self }: StepContext, { members, ledger, microBatchCount }: StepState): void {
  const { counted } = mine;
  const selfIndex = members.findIndex(({ worker }) => worker === self.worker);
  const expected = ledger.flatMap((owner, microBatch) => owner === selfIndex ? [microBatch] : []);
  const isSame = expected.length === counted.size && expected.every((microBatch) => counted.has(microBatch));
  if (isSame && ledger.length === microBatchCount) return;
  const held = quote([...counted].sort((a, b) => a - b));
  const message = `the ledger of ${ledger.length} micro-batches gives this worker ${
    quote(expected)
  }, its sums hold ${held}`;
  throw new AttemptProblem(message, [self.worker]);
}

function assertFinite(gradientNorm: number, labelCount: number): void {
  if (Number.isFinite(gradientNorm)) return;
  const norm = `the gradient's norm is ${gradientNorm} over ${labelCount} labels`;
  throw new AttemptProblem(`${norm}: the update would spoil the adapter`, []);
}
