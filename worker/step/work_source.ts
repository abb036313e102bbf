/** The micro-batches of a job's queue, one in hand at a time, and none withheld from others longer than needed. */
import type { Bus, WorkItem, WorkQueue } from "../../shared/bus/bus.ts";
import { messageOf } from "../../shared/errors.ts";
import { workQueueName } from "../../shared/protocol/subjects.ts";
import { unlessAborted } from "../async/abortable.ts";
import type { Runtime } from "../async/runtime.ts";

interface WorkSourceOptions extends Runtime {
  readonly bus: Bus;
  readonly jobId: string;
  readonly signal: AbortSignal;
}

const MAX_NAKS = 5;

export class WorkSource {
  readonly #options: WorkSourceOptions;
  #queue: WorkQueue | null = null;
  #pulling: Promise<WorkItem | null> | null = null;
  #inHand: WorkItem | null = null;

  constructor(options: WorkSourceOptions) {
    this.#options = options;
  }

  /** The item in hand, or the next one; null if none comes before `changed` resolves or the pull times out. */
  async take(changed: () => Promise<void>): Promise<WorkItem | null> {
    if (this.#inHand !== null) return this.#inHand;
    const pulling = this.#pulling ??= this.#pull();
    const race = Promise.race([pulling, changed().then(() => "changed" as const)]);
    const item = await unlessAborted(race, this.#options.signal);
    // The pull stays open: the change may have nothing to do with it.
    if (item === "changed") return null;
    if (this.#pulling === pulling) this.#pulling = null;
    return this.#inHand = item;
  }

  /** The item in hand is handled. */
  done(): void {
    this.#inHand = null;
  }

  putBack(): void {
    // After MAX_NAKS let ackWait expire, so that the item cannot starve others.
    if (this.#inHand !== null && this.#inHand.deliveryCount <= MAX_NAKS) this.#inHand.nak();
    this.#inHand = null;
  }

  /** Gives back the item in hand and the one of an open pull. */
  letGo(): void {
    this.putBack();
    void this.#pulling?.then((item) => item?.nak());
    this.#pulling = null;
  }

  async #pull(): Promise<WorkItem | null> {
    const { bus, jobId, clock, limits, signal, log } = this.#options;
    try {
      this.#queue ??= await bus.openQueue(workQueueName(jobId));
      return await this.#queue.pull(limits.pullTimeoutMs);
    } catch (thrown) {
      // A restarted job gets a new queue, and the broker may be away for a while.
      this.#queue = null;
      if (!signal.aborted) {
        log("warn", `cannot take a micro-batch: ${messageOf(thrown)}`);
        await clock.sleep(limits.retryIntervalMs, signal).catch(() => {});
      }
      return null;
    }
  }
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
