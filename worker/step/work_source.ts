/** The micro-batches of a job's queue, one in hand at a time, and nothing held back from others for longer than needed. */
import type { Bus, WorkItem, WorkQueue } from "../../shared/bus/bus.ts";
import type { Clock } from "../../shared/clock.ts";
import { messageOf } from "../../shared/errors.ts";
import type { Limits } from "../../shared/protocol/limits.ts";
import { workQueueName } from "../../shared/protocol/subjects.ts";
import { unlessAborted } from "../async/abortable.ts";
import type { Log } from "../../shared/log.ts";

export interface WorkSource {
  /** The item in hand, or the next one; null where none has come before `changed` resolves or the pull's time is up. */
  take(changed: () => Promise<void>): Promise<WorkItem | null>;
  /** The item in hand is handled. */
  done(): void;
  /** Gives back the item in hand. */
  putBack(): void;
  /** The same, and whatever an open pull brings. */
  letGo(): void;
}

interface WorkSourceOptions {
  readonly bus: Bus;
  readonly jobId: string;
  readonly clock: Clock;
  readonly limits: Limits;
  readonly signal: AbortSignal;
  readonly log: Log;
}

const MAX_NAKS = 5;

export function createWorkSource({ bus, jobId, clock, limits, signal, log }: WorkSourceOptions): WorkSource {
  let queue: WorkQueue | null = null;
  let pulling: Promise<WorkItem | null> | null = null;
  let inHand: WorkItem | null = null;

  async function pull(): Promise<WorkItem | null> {
    try {
      queue ??= await bus.openQueue(workQueueName(jobId));
      return await queue.pull(limits.pullTimeoutMs);
    } catch (thrown) {
      // The queue is made anew when a job starts again, and a broker may be away for a while.
      queue = null;
      if (!signal.aborted) {
        log("warn", `no micro-batch could be taken: ${messageOf(thrown)}`);
        await clock.sleep(limits.retryIntervalMs, signal).catch(() => {});
      }
      return null;
    }
  }

  function putBack(): void {
    // One that is given back again and again would be in the way of others: it may wait for its time to come.
    if (inHand !== null && inHand.deliveryCount <= MAX_NAKS) inHand.nak();
    inHand = null;
  }

  return {
    async take(changed) {
      if (inHand !== null) return inHand;
      pulling ??= pull();
      const current = pulling;
      const item = await unlessAborted(
        Promise.race([current, changed().then(() => "changed" as const)]),
        signal,
      );
      // The pull stays open: the change may have nothing to do with it.
      if (item === "changed") return null;
      if (pulling === current) pulling = null;
      return inHand = item;
    },
    done() {
      inHand = null;
    },
    putBack,
    letGo() {
      putBack();
      void pulling?.then((item) => item?.nak());
      pulling = null;
    },
  };
}

/** Extends an item again and again, so that the queue gives it to nobody else, until the signal aborts. */
export function keepWorking(item: WorkItem, clock: Clock, limits: Limits, signal: AbortSignal): void {
  const working = async () => {
    for (;;) {
      await clock.sleep(limits.microBatchAckWaitMs / 3, signal);
      item.working();
    }
  };
  working().catch(() => {});
}
