/** The kinds of work that a job's queue holds; one of them is chosen when the job is loaded. */
import type { Bus } from "../../shared/bus/bus.ts";
import type { MemberRef, StepState } from "../../shared/protocol/messages_coordinator.ts";
import { decodeWorkItemInnerLoop, decodeWorkItemRows } from "../../shared/protocol/messages_work_item.ts";
import type { WorkItemHeader } from "../../shared/protocol/messages_work_item.ts";
import type { Runtime } from "../async/runtime.ts";
import type { Engine, MicroBatchResult } from "../engine/engine.ts";
import { createInnerLoopRows } from "../local_steps/inner_loop_rows.ts";
import type { LocalStepsEngine } from "../local_steps/local_steps_engine.ts";
import { attemptOf, isComputed } from "./step_action.ts";
import type { StepStates } from "./step_states.ts";
import type { Telemetry } from "./telemetry.ts";

export interface ReadItem {
  readonly header: WorkItemHeader;
  /** The whole item. */
  readonly data: Uint8Array;
}

/** The membership that computes an item. */
export interface WorkContext extends Runtime {
  readonly self: MemberRef;
  readonly control: Bus;
  readonly states: StepStates;
  readonly telemetry: Telemetry;
}

export interface WorkKind {
  /**
   * Leaves the item's gradient in the engine; null when `state`'s attempt no longer needs it. Rejects with code `corrupt` if the
   * item cannot be decoded.
   */
  compute(item: ReadItem, state: StepState, context: WorkContext): Promise<MicroBatchResult | null>;
}

/** One forward and backward pass over the rows in the item. */
export function microBatchWork(engine: Engine): WorkKind {
  return {
    compute: async ({ header, data }, _, { telemetry }) => {
      const batch = decodeWorkItemRows(data);
      const result = await engine.computeGradient(batch, header.number);
      telemetry.throughput.add(batch.tokens.length);
      return result;
    },
  };
}

/**
 * An inner loop, whose rows are requested one micro-batch at a time. It takes long, so it stops as soon as the round can begin
 * without it because a peer's was counted.
 */
export function innerLoopWork(engine: LocalStepsEngine): WorkKind {
  return {
    compute: async ({ header, data }, state, { control: bus, clock, limits, self, states, telemetry }) => {
      const innerLoop = decodeWorkItemInnerLoop(data);
      const { signal, end } = states.watch((newer) => isComputed(attemptOf(state), newer));
      const { term } = state;
      const rowsOf = createInnerLoopRows({ bus, clock, limits, self, term, header, innerLoop, signal });
      const onComputed = (tokenCount: number) => telemetry.throughput.add(tokenCount);
      try {
        return await engine.computeInnerLoop({ innerLoop, rowsOf, onComputed, signal });
      } catch (thrown) {
        if (!signal.aborted) throw thrown;
        return null;
      } finally {
        end();
      }
    },
  };
}
