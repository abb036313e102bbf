/** What a decision depends on besides the training and the event. */
import type { Limits } from "../../../shared/protocol/limits.ts";
import type { TrainingPlan } from "./plan.ts";

export interface DecisionContext {
  readonly plan: TrainingPlan;
  /** In milliseconds, as the coordinator's clock shows it. */
  readonly now: number;
  readonly limits: Limits;
}
