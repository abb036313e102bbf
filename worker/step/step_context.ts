/** What the parts of a step share under one membership. */
import type { Bus } from "../../shared/bus/bus.ts";
import type { Log } from "../../shared/log.ts";
import type { JobAnnouncement } from "../../shared/protocol/messages_coordinator.ts";
import { gradientSubjects } from "../../shared/protocol/subjects.ts";
import { createAllReduce } from "../allreduce/all_reduce.ts";
import type { AllReduce } from "../allreduce/all_reduce_interface.ts";
import type { StepEngine } from "../engine/engine.ts";
import type { GradientLayout } from "../../shared/model/gradient_layout.ts";
import { type HeldState, OwnAttempt } from "./own_attempt.ts";
import { createReports, type Reports } from "./reports.ts";
import type { WorkContext, WorkKind } from "./work_kinds.ts";
import { createWorkSource, type WorkSource } from "./work_source.ts";

export interface TrainStepOptions extends WorkContext {
  readonly job: JobAnnouncement;
  readonly layout: GradientLayout;
  readonly engine: StepEngine;
  /** Computes the items of the job's queue with the engine. */
  readonly work: WorkKind;
  readonly held: HeldState;
  /** `control` carries claims and the work queue; the megabytes go over this connection. */
  readonly gradients: Bus;
  readonly log: Log;
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
  const { job: { jobId, startId, gradientCodec }, self, control: bus, clock, limits, states, telemetry } =
    options;
  return {
    ...options,
    allReduce: createAllReduce({
      ...{ bus: options.gradients, jobId, startId, self: self.worker, subjects: gradientSubjects(jobId) },
      ...{ clock, codec: gradientCodec, stats: telemetry.allReduce },
    }),
    source: createWorkSource({ bus, jobId, clock, limits, signal: states.closed, log: options.log }),
    reports: createReports({ bus, jobId, self, clock, limits, traffic: telemetry.allReduce }),
    mine: new OwnAttempt(self, options.held, options.onHeld),
  };
}
