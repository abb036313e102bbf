/** What a worker computes next: an assignment to it alone, else the next item of the job's queue. */
import type { WorkItem } from "../../shared/bus/bus.ts";
import { messageOf } from "../../shared/errors.ts";
import type { Log } from "../../shared/log.ts";
import type { Assignment, StepState } from "../../shared/protocol/messages_coordinator.ts";
import { decodeWorkItemHeader } from "../../shared/protocol/messages_work_item.ts";
import { pauseUnless } from "../async/pause.ts";
import { placeOf } from "./step_action.ts";
import type { StepContext } from "./step_context.ts";
import type { ReadItem } from "./work_kinds.ts";

export type TakenWork =
  | { readonly type: "assignment"; readonly assignment: Assignment }
  | { readonly type: "item"; readonly item: WorkItem; readonly read: ReadItem }
  /** An item with a damaged header. */
  | { readonly type: "unreadable"; readonly cause: unknown };

/** Null when there is nothing to compute, or the state changes first. */
export async function takeWork(step: StepContext, state: StepState): Promise<TakenWork | null> {
  const { mine, self, source, states } = step;
  const assignment = state.assignments.find(({ id, worker }) =>
    worker === self.worker && !mine.begun.has(id)
  );
  if (assignment !== undefined) {
    mine.begun.add(assignment.id);
    return { type: "assignment", assignment };
  }
  const item = await source.take(() => states.after(state));
  return item === null ? null : await sortItem(step, item, state);
}

/** Keeps a current item, drops an obsolete one, and waits a while for the attempt of a future one. */
async function sortItem(
  { job, log, mine, source, states, clock, limits }: StepContext,
  item: WorkItem,
  state: StepState,
): Promise<TakenWork | null> {
  const drop = () => {
    source.done();
    acknowledge(item, log);
  };
  let header;
  try {
    header = decodeWorkItemHeader(item.data);
  } catch (cause) {
    drop();
    return { type: "unreadable", cause };
  }
  const isOurs = (["jobId", "startId", "specHash"] as const).every((name) => header[name] === job[name]);
  const place = isOurs ? placeOf(header, state) : "older";
  if (place === "newer") {
    // The coordinator announces an attempt while it fills the queue: either may arrive first.
    const waitMs = 2 * limits.announcementIntervalMs;
    if (!await pauseUnless(clock, waitMs, states.after(state), states.closed)) source.putBack();
  } else if (place === "older" || (header.kind === undefined && mine.counted.has(header.index))) {
    // Its attempt is over, or it was redelivered because its ack was lost.
    drop();
  } else {
    source.done();
    return { type: "item", item, read: { header, data: item.data } };
  }
  return null;
}

/** A lost ack redelivers the item, which is dropped then. After a cancellation there is no queue left to ack to. */
export function acknowledge(item: WorkItem, log: Log): void {
  item.ack().catch((thrown) => log("debug", messageOf(thrown)));
}
