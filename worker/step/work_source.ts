/** The micro-batches of a job's queue, one in hand at a time, and none withheld from others longer than needed. */
import type { Bus, WorkItem, WorkQueue } from "../../shared/bus/bus.ts";
import { messageOf } from "../../shared/errors.ts";
import { workQueueName } from "../../shared/protocol/subjects.ts";
import { unlessAborted } from "../async/abortable.ts";
import type { Runtime } from "../async/runtime.ts";

export interface WorkSource {
  /** The item in hand, or the next one; null if none comes before `changed` resolves or the pull times out. */
  take(changed: () => Promise<void>): Promise<WorkItem | null>;
  /** The item in hand is handled. */
  done(): void;
  /** Gives back the item in hand. */
  putBack(): void;
  /** Gives back the item in hand and the one of an open pull. */
  letGo(): void;
}

interface WorkSourceOptions extends Runtime {
  readonly bus: Bus;
  readonly jobId: string;
  readonly signal: AbortSignal;
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
      // A restarted job gets a new queue, and the broker may be away for a while.
      queue = null;
      if (!signal.aborted) {
        log("warn", `cannot take a micro-batch: ${messageOf(thrown)}`);
        await clock.sleep(limits.retryIntervalMs, signal).catch(() => {});
      }
      return null;
    }
  }

  function putBack(): void {
    // After MAX_NAKS let ackWait expire, so that the item cannot starve others.
    if (inHand !== null && inHand.deliveryCount <= MAX_NAKS) inHand.nak();
    inHand = null;
  }

  return {
    async take(changed) {
      if (inHand !== null) return inHand;
      pulling ??= pull();
      const current = pulling;
      const race = Promise.race([current, changed().then(() => "changed" as const)]);
      const item = await unlessAborted(race, signal);
      // The pull stays open: the change may have nothing to do with it.
      if (item === "changed") return null;
      if (pulling === current) pulling = null;
      return inHand = item;
    },
    done: () => void (inHand = null),
    putBack,
    letGo() {
      putBack();
      void pulling?.then((item) => item?.nak());
      pulling = null;
    },
  };
}

/** Extends an item's ack deadline until the signal aborts, so that the queue does not redeliver it. */
export function keepWorking(
  item: WorkItem,
  { clock, limits }: Pick<Runtime, "clock" | "limits">,
  signal: AbortSignal,
): void {
  const working = async () => {
    for (;;) {
      await clock.sleep(limits.microBatchAckWaitMs / 3, signal);
      item.working();
    }
  };
  working().catch(() => {});
}
