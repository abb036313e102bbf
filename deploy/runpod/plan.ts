/** What every pod of a fleet is made of, but its GPU and its name. */
import { LEAVE_BEFORE_MS } from "./budget.ts";
import type { PodName } from "./names.ts";
import type { Offer } from "./offers.ts";
import type { CreatePod, Volume } from "./api/schemas.ts";

export interface PodPlan extends PodName {
  readonly image: string;
  /** Admits a worker: a secret. */
  readonly joinUrl: string;
  readonly diskGb: number;
  /** With its data center, in which the pods then have to be. */
  readonly volume: Volume | null;
  readonly dataCenters: readonly string[];
  /** Id of RunPod's credentials for a private registry. */
  readonly registry: string | null;
  /** Null: a worker without work stays. */
  readonly idleMinutes: number | null;
  readonly env: Readonly<Record<string, string>>;
  /** Dollars per GPU hour. */
  readonly maxPrice: number | null;
}

const VOLUME_PATH = "/runpod-volume";

/** The body of the pod's creation. @param leaseEndsAt null: no budget */
export function podRequest(plan: PodPlan, offer: Offer, name: string, leaseEndsAt: number | null): CreatePod {
  const { volume, dataCenters, registry } = plan;
  return {
    ...{ name, image: plan.image, cloud: offer.cloud, gpu: { id: offer.gpuId, count: 1 }, disk: plan.diskGb },
    env: podEnvironment(plan, name, leaseEndsAt),
    ...(volume === null ? (dataCenters.length > 0 ? { dataCenterIds: dataCenters } : {}) : {
      dataCenterIds: [volume.dataCenter],
      mounts: { network: [{ volumeId: volume.id, path: VOLUME_PATH }] },
    }),
    ...(registry === null ? {} : { registry }),
  };
}

/** The user's variables win. */
function podEnvironment(
  { joinUrl, idleMinutes, volume, env }: PodPlan,
  name: string,
  leaseEndsAt: number | null,
): Record<string, string> {
  return {
    LORAFLEET_JOIN: joinUrl,
    LORAFLEET_NAME: name,
    LORAFLEET_REMOVE_POD: "1",
    // Vulkan is one of them; RunPod's default is "compute,utility".
    NVIDIA_DRIVER_CAPABILITIES: "all",
    ...(idleMinutes === null ? {} : { LORAFLEET_LEAVE_WHEN_IDLE: String(idleMinutes) }),
    ...(leaseEndsAt === null
      ? {}
      : { LORAFLEET_LEAVE_AT: new Date(leaseEndsAt - LEAVE_BEFORE_MS).toISOString() }),
    // The hub's cache has locks, so that several pods may share it.
    ...(volume === null ? {} : { HF_HOME: `${VOLUME_PATH}/huggingface` }),
    ...env,
  };
}
