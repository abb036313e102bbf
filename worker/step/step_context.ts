/** What the parts of a step share under one membership. */
import type { Bus } from "../../shared/bus/bus.ts";
import type { JobAnnouncement } from "../../shared/protocol/messages_coordinator.ts";
import { gradientSubjects } from "../../shared/protocol/subjects.ts";
import { createAllReduce } from "../allreduce/all_reduce.ts";
import type { AllReduce } from "../allreduce/all_reduce_interface.ts";
import type { StepEngine } from "../engine/engine.ts";
import type { GradientLayout } from "../../shared/model/gradient_layout.ts";
import { type HeldState, OwnAttempt } from "./own_attempt.ts";
import { Reports } from "./reports.ts";
import type { WorkContext, WorkKind } from "./work_kinds.ts";
import { WorkSource } from "./work_source.ts";

export interface TrainStepOptions extends WorkContext {
  readonly job: JobAnnouncement;
  readonly layout: GradientLayout;
  readonly engine: StepEngine;
  /** Computes the items of the job's queue with the engine. */
  readonly work: WorkKind;
  readonly held: HeldState;
  /** `control` carries claims and the work queue; the megabytes go over this connection. */
  readonly gradients: Bus;
  /** Called before the engine is asked to change its committed state. */
  readonly onHeld: (held: HeldState) => void;
}

export interface StepContext extends TrainStepOptions {
  readonly allReduce: AllReduce;
  readonly source: WorkSource;
  readonly reports: Reports;
  readonly mine: OwnAttempt;
}

export function createStepContext(options: TrainStepOptions): StepContext {
  const { job: { jobId, startId, gradientCodec: codec }, self, gradients, clock, states, telemetry } =
    options;
  return {
    ...options,
    allReduce: createAllReduce({
      ...{ bus: gradients, jobId, startId, self: self.worker, subjects: gradientSubjects(jobId) },
      ...{ clock, codec, stats: telemetry.allReduce },
    }),
    source: new WorkSource({ ...options, bus: options.control, jobId, signal: states.closed }),
    reports: new Reports(options, jobId),
    mine: new OwnAttempt(self, options.held, options.onHeld),
  };
}
