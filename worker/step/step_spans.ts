/** This worker's spans within the coordinator's span of the step. */
import { type Attributes, inSpan } from "../../shared/protocol/spans.ts";
import type { StepState } from "../../shared/protocol/messages_coordinator.ts";
import type { StepContext } from "./step_context.ts";

export function inStepSpan<T>(
  { job, self }: Pick<StepContext, "job" | "self">,
  { step, attempt, traceparent }: StepState,
  name: string,
  attributes: Attributes,
  work: () => Promise<T>,
): Promise<T> {
  const about = { job: job.jobId, worker: self.worker, step, attempt, ...attributes };
  return inSpan(name, about, traceparent, work);
}
