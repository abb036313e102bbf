/** Rents one pod: the first offer that RunPod takes, never above the price limit, and never lost when an answer is. */
import { LoraFleetError } from "../../shared/errors.ts";
import { RunPodApi } from "./api/runpod_api.ts";
import { leaseMs, podDollarsPerHour } from "./budget.ts";
import type { Refusal } from "./api/connection.ts";
import type { CommandWorld } from "./commands.ts";
import { dollars } from "./dollars.ts";
import type { FleetState, PodRecord } from "./fleet_state.ts";
import { podName } from "./names.ts";
import { describeOffer, isAffordable, type Offer } from "./offers.ts";
import { type PodPlan, podRequest } from "./plan.ts";
import type { CreatePod } from "./api/schemas.ts";
import { rentSpot } from "./api/spot.ts";

export interface PodWorld extends CommandWorld {
  /** Makes a pod's name unique. */
  readonly newSuffix: () => string;
}

export interface RentRequest {
  readonly plan: PodPlan;
  readonly offers: readonly Offer[];
  readonly state: FleetState;
  /** Pods that are still to be rented, this one included: they share the rest of the budget. */
  readonly openCount: number;
}

/** RunPod's list may miss a pod that was created a moment ago. */
const [LOOKS, LOOK_PAUSE_MS] = [3, 5000];

/** The pod, or for each offer why not. Throws what no other offer would change, `unauthorized` among others. */
export async function rentPod(world: PodWorld, request: RentRequest): Promise<PodRecord | readonly string[]> {
  const refusals: string[] = [];
  for (const offer of request.offers) {
    const outcome = await tryOffer(world, request, offer);
    if (typeof outcome !== "string") return outcome;
    refusals.push(`${describeOffer(offer)}: ${outcome}`);
  }
  return refusals;
}

async function tryOffer(
  world: PodWorld,
  { plan, state, openCount }: RentRequest,
  offer: Offer,
): Promise<PodRecord | string> {
  const now = world.connection.clock.now();
  const { budget } = state.record;
  const dollarsPerHour = podDollarsPerHour(offer.price, plan.diskGb);
  const lease = budget === null ? null : leaseMs(state.pods, budget, now, dollarsPerHour, openCount);
  if (budget !== null && lease === null) return "the rest of the budget does not pay for it";
  const leaseEndsAt = lease === null ? null : now + lease;
  const record: PodRecord = {
    name: podName(plan, world.newSuffix()),
    ...{ id: null, gpu: offer.gpu, cloud: offer.cloud, isSpot: offer.isSpot, dollarsPerHour },
    ...{ createdAt: now, leaseEndsAt, removedAt: null },
  };
  await state.add(record);
  const outcome = await create(world, podRequest(plan, offer, record.name, leaseEndsAt), offer, state);
  if (outcome.kind === "refused") {
    await state.drop(record.name);
    return outcome.detail;
  }
  const { id, cost } = outcome.pod;
  // A price that has risen since it was shown shortens what the lease pays for.
  const paid = podDollarsPerHour(Math.max(cost, offer.price), plan.diskGb);
  await state.change(record.name, { id, dollarsPerHour: paid });
  const isTooDear = !isAffordable({ price: cost }, plan.maxPrice);
  if (isTooDear || (budget !== null && cost > offer.price * 1.01)) {
    await new RunPodApi(world.connection, world.signal).remove(id);
    await state.change(record.name, { removedAt: world.connection.clock.now() });
    return `it costs ${dollars(cost)}/h, not as listed${isTooDear ? ", and above --max-price" : ""}`;
  }
  return { ...record, id, dollarsPerHour: paid };
}

type Created = { readonly kind: "created"; readonly pod: { readonly id: string; readonly cost: number } };

async function create(
  { connection, signal }: PodWorld,
  body: CreatePod,
  offer: Offer,
  state: FleetState,
): Promise<Created | Refusal> {
  const api = new RunPodApi(connection, signal);
  try {
    return offer.isSpot ? await rentSpot(connection, body, offer.price, signal) : await api.create(body);
  } catch (thrown) {
    // Interrupted: whoever removes the fleet's pods finds it by its name, if it exists.
    signal.throwIfAborted();
    if (!(thrown instanceof LoraFleetError)) throw thrown;
    if (thrown.code !== "timeout") {
      await state.drop(body.name);
      throw thrown;
    }
    for (let look = 0; look < LOOKS; look++) {
      await connection.clock.sleep(LOOK_PAUSE_MS, signal);
      const pod = (await api.pods()).find(({ name }) => name === body.name);
      if (pod !== undefined) return { kind: "created", pod };
    }
    return { kind: "refused", detail: thrown.message };
  }
}
