/** Pods that are rented, evicted, removed, and billed by the second. */
import type { Clock } from "../../shared/clock.ts";

export interface TestPod {
  readonly id: string;
  readonly name: string;
  readonly image: string;
  readonly env: Readonly<Record<string, string>>;
  readonly gpuId: string;
  readonly cloud: "SECURE" | "COMMUNITY";
  readonly disk: number;
  readonly mounts: object;
  readonly isSpot: boolean;
  readonly dollarsPerHour: number;
  readonly createdAt: number;
  status: "PROVISIONING" | "STARTING" | "RUNNING" | "EXITED" | "ERROR" | "TERMINATED";
  /** Billing ends then. */
  stoppedAt: number | null;
  removedAt: number | null;
}

/** What is asked for: the price is the listed one or a bid. */
export interface Asked {
  readonly name: string;
  readonly image: string;
  readonly env?: Readonly<Record<string, string>>;
  readonly gpuId: string;
  readonly cloud: "SECURE" | "COMMUNITY";
  readonly disk?: number;
  readonly mounts?: object;
  readonly isSpot: boolean;
  readonly dollarsPerHour: number;
}

export class TestPods {
  readonly all: TestPod[] = [];
  /** Free GPUs by kind; those without an entry are plenty. */
  readonly free = new Map<string, number>();
  /** What is billed, by the listed price. */
  priceFactor = 1;
  /** How long a pod takes to run. */
  startMs = 0;
  /** How long a new pod is missing in the list. */
  listLagMs = 0;
  onCreate: (pod: TestPod) => void = () => {};
  /** Also of an eviction. */
  onEnd: (pod: TestPod) => void = () => {};
  readonly #clock: Pick<Clock, "now">;

  constructor(clock: Pick<Clock, "now">) {
    this.#clock = clock;
  }

  /** Not removed, whether billed or stopped. */
  get left(): readonly TestPod[] {
    const now = this.#clock.now();
    const left = this.all.filter((pod) => pod.removedAt === null);
    for (const pod of left) {
      if (pod.status === "PROVISIONING" && now - pod.createdAt >= this.startMs) pod.status = "RUNNING";
    }
    return left;
  }

  /** As the list shows them. */
  get listed(): readonly TestPod[] {
    return this.left.filter((pod) => this.#clock.now() - pod.createdAt >= this.listLagMs);
  }

  /** Dollars until now. */
  get billed(): number {
    const now = this.#clock.now();
    return this.all.reduce((sum, pod) => {
      const end = Math.min(pod.stoppedAt ?? Infinity, pod.removedAt ?? Infinity, now);
      return sum + pod.dollarsPerHour * (end - pod.createdAt) / 3_600_000;
    }, 0);
  }

  isFree(gpuId: string): boolean {
    return (this.free.get(gpuId) ?? Infinity) > 0;
  }

  /** Null: no capacity. */
  rent(asked: Asked): TestPod | null {
    if (!this.isFree(asked.gpuId)) return null;
    this.free.set(asked.gpuId, (this.free.get(asked.gpuId) ?? Infinity) - 1);
    const pod: TestPod = {
      ...{ env: {}, disk: 10, mounts: {}, ...asked },
      id: `pod${this.all.length + 1}`,
      dollarsPerHour: asked.dollarsPerHour * this.priceFactor,
      createdAt: this.#clock.now(),
      ...{ status: "PROVISIONING", stoppedAt: null, removedAt: null },
    };
    this.all.push(pod);
    this.onCreate(pod);
    return pod;
  }

  remove(pod: TestPod): void {
    pod.removedAt = this.#clock.now();
    pod.status = "TERMINATED";
    this.free.set(pod.gpuId, (this.free.get(pod.gpuId) ?? Infinity) + 1);
    this.onEnd(pod);
  }

  /** As RunPod does with a spot pod whose GPU somebody pays more for: it is stopped, and stays in the list. */
  evict(pod: TestPod): void {
    pod.status = "EXITED";
    pod.stoppedAt = this.#clock.now();
    this.onEnd(pod);
  }
}
