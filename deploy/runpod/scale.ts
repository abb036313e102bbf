/** Keeps a job's pods: rents them, replaces those that RunPod has stopped, and ends with the job or with the budget. */
import { LoraFleetError, messageOf } from "../../shared/errors.ts";
import { RunPodApi } from "./api/runpod_api.ts";
import { affordable, podDollarsPerHour, spent } from "./budget.ts";
import { decide, type Decision, type PodSituation, SHORT_LIFE_MS, type Situation } from "./decide.ts";
import { dollars } from "./dollars.ts";
import type { FleetState, PodRecord } from "./fleet_state.ts";
import { isOf } from "./names.ts";
import { describeOffer, type Offer } from "./offers.ts";
import type { PodPlan } from "./plan.ts";
import { type PodWorld, rentPod } from "./rent.ts";
import type { Pod } from "./api/schemas.ts";
import { adopt } from "./teardown.ts";

export interface ScaleRequest {
  readonly plan: PodPlan;
  readonly state: FleetState;
  /** Pods at most. */
  readonly count: number;
  /** The job's status. Throws if the coordinator does not answer. */
  readonly jobStatus: () => Promise<string>;
  /** Throws `conflict` if nothing can be rented now. */
  readonly findOffers: () => Promise<readonly Offer[]>;
}

export type Finish = NonNullable<Decision["finish"]> | {
  readonly outcome: "stopped";
  readonly reason: string;
};

/** How often everything is looked at: a pod's 15 seconds cost less than a cent. */
const TICK_MS = 15_000;
/** Between attempts to rent what was sold out. */
const RETRY_MS = 60_000;

/** Until the job is over, or nothing more can be done for it; the pods are still there then. */
export async function scale(world: PodWorld, request: ScaleRequest): Promise<Finish> {
  const { connection: { clock }, signal } = world;
  const keeper = new Keeper(world, request);
  for (;;) {
    signal.throwIfAborted();
    if (await request.state.isAskedToStop()) {
      return { outcome: "stopped", reason: "a different command removes the fleet" };
    }
    const finish = await keeper.tick();
    if (finish !== null) return finish;
    await clock.sleep(TICK_MS, signal);
  }
}

class Keeper {
  readonly #world: PodWorld;
  readonly #request: ScaleRequest;
  readonly #api: RunPodApi;
  /** By name. */
  #listed = new Map<string, Pod>();
  #jobSeenAt: number;
  #status: string | null = null;
  #shortLivedCount = 0;
  #rentAfter = 0;
  #lastLine = "";

  constructor(world: PodWorld, request: ScaleRequest) {
    this.#world = world;
    this.#request = request;
    this.#api = new RunPodApi(world.connection, world.signal);
    this.#jobSeenAt = world.connection.clock.now();
  }

  async tick(): Promise<Finish | null> {
    const { state } = this.#request;
    await this.#lookAtJob();
    try {
      await this.#lookAtPods();
      let decision = decide(this.#situation());
      if (decision.remove.length > 0) {
        for (const { name, reason } of decision.remove) await this.#remove(name, reason);
        decision = decide(this.#situation());
      }
      if (decision.finish !== null) return decision.finish;
      await this.#rent(decision.createCount);
    } catch (thrown) {
      this.#world.signal.throwIfAborted();
      // RunPod is away, or sold out: both pass. The leases hold meanwhile.
      if (!(thrown instanceof LoraFleetError) || !["timeout", "conflict"].includes(thrown.code)) throw thrown;
      this.#rentAfter = this.#now + RETRY_MS;
      this.#say(`${thrown.message}; trying again`);
    }
    const cost = state.record.budget === null ? "" : ` of ${dollars(state.record.budget)}`;
    this.#say(
      `job ${this.#status ?? "unknown"}, ${state.left.length} of ${this.#request.count} pods`,
      `, ${dollars(spent(state.pods, this.#now))}${cost} spent`,
    );
    return null;
  }

  get #now(): number {
    return this.#world.connection.clock.now();
  }

  /** The same line again says nothing. @param more does not make it a different one */
  #say(line: string, more = ""): void {
    if (line === this.#lastLine) return;
    this.#lastLine = line;
    this.#world.print(`${line}${more}`);
  }

  async #lookAtJob(): Promise<void> {
    try {
      this.#status = await this.#request.jobStatus();
      this.#jobSeenAt = this.#now;
    } catch (thrown) {
      this.#world.signal.throwIfAborted();
      if (this.#status !== null) this.#world.print(messageOf(thrown));
      this.#status = null;
    }
  }

  async #lookAtPods(): Promise<void> {
    const { plan, state } = this.#request;
    const pods = (await this.#api.pods()).filter(({ name }) => isOf(name, plan.fleet));
    await adopt(state, pods);
    this.#listed = new Map(pods.map((pod) => [pod.name, pod]));
    for (const { name, id, createdAt } of state.left) {
      if (this.#listed.has(name)) {
        if (this.#now - createdAt >= SHORT_LIFE_MS) this.#shortLivedCount = 0;
        continue;
      }
      if (id !== null && await this.#api.exists(id)) continue;
      await state.change(name, { removedAt: this.#now });
      this.#world.print(`${name} is gone: its worker has left, or somebody has removed it`);
      if (this.#status === "running") this.#countShortLife(createdAt);
    }
  }

  #countShortLife(createdAt: number): void {
    this.#shortLivedCount = this.#now - createdAt < SHORT_LIFE_MS ? this.#shortLivedCount + 1 : 0;
  }

  #situation(): Situation {
    const { state, plan, count } = this.#request;
    const prices = state.left.map(({ dollarsPerHour }) => dollarsPerHour);
    const cheapest = Math.min(
      ...prices,
      ...this.#offerPrices.map((price) => podDollarsPerHour(price, plan.diskGb)),
    );
    return {
      now: this.#now,
      jobStatus: this.#status,
      silentMs: this.#now - this.#jobSeenAt,
      pods: state.left.map((pod) => situationOf(pod, this.#listed.get(pod.name))),
      count,
      affordableCount: Number.isFinite(cheapest)
        ? affordable(state.pods, state.record.budget, this.#now, cheapest, count)
        : count,
      shortLivedCount: this.#shortLivedCount,
    };
  }
  #offerPrices: readonly number[] = [];

  async #remove(name: string, reason: string): Promise<void> {
    const { state } = this.#request;
    const { id, createdAt } = state.pods.find((pod) => pod.name === name)!;
    this.#world.print(`removing ${name}: ${reason}`);
    if (id !== null) await this.#api.remove(id);
    await state.change(name, { removedAt: this.#now });
    const leaseEnded = reason.includes("budget");
    if (!leaseEnded) this.#countShortLife(createdAt);
  }

  async #rent(count: number): Promise<void> {
    if (count === 0 || this.#now < this.#rentAfter) return;
    const { plan, state } = this.#request;
    const offers = await this.#request.findOffers();
    this.#offerPrices = offers.map(({ price }) => price);
    for (let openCount = count; openCount > 0; openCount--) {
      const rented = await rentPod(this.#world, { plan, offers, state, openCount });
      if (isRefusals(rented)) {
        this.#rentAfter = this.#now + RETRY_MS;
        return this.#say(`no pod to be had: ${rented.join(", ")}; trying again`);
      }
      this.#world.print(describeRented(rented));
    }
  }
}

export function isRefusals(rented: PodRecord | readonly string[]): rented is readonly string[] {
  return Array.isArray(rented);
}

export function describeRented({ name, gpu, cloud, isSpot, dollarsPerHour, leaseEndsAt }: PodRecord): string {
  const until = leaseEndsAt === null ? "" : `, paid until ${new Date(leaseEndsAt).toISOString()}`;
  const spot = isSpot ? ", spot" : "";
  return `rented ${name}: ${gpu}, ${cloud.toLowerCase()}${spot}, ${
    dollars(dollarsPerHour)
  }/h with its disk${until}`;
}

function situationOf({ name, createdAt, leaseEndsAt }: PodRecord, pod: Pod | undefined): PodSituation {
  const isEnded = pod?.status === "EXITED" || pod?.status === "ERROR";
  const state = isEnded ? "ended" : pod?.status === "RUNNING" ? "running" : "starting";
  return { name, state, createdAt, leaseEndsAt };
}

/** For the user, before the first pod. */
export function describeOffers(offers: readonly Offer[]): string {
  return offers.map((offer) => `  ${describeOffer(offer)}, stock ${offer.availability.toLowerCase()}`).join(
    "\n",
  );
}
