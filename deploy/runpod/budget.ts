/**
 * A budget in dollars that is never passed. Each pod has a lease: the time to which its money reaches. The sum over all pods of
 * price times lease, from creation on, is at most the budget, so that it holds whatever happens to the command that rented them:
 * the worker leaves before its lease ends and removes its pod, and the command removes it if the worker does not.
 */

/** Between a lease's end and the worker's leaving: the current step ends, and RunPod removes the pod. */
export const LEAVE_BEFORE_MS = 5 * 60_000;
/** Between a lease's end and the removal by the command. */
export const REMOVE_BEFORE_MS = 3 * 60_000;
/** A shorter lease buys nothing but the start: image and base model are loaded first. */
export const MIN_LEASE_MS = 15 * 60_000;

const HOUR_MS = 3_600_000;
/** Container disk at $0.10 per GB and month: https://docs.runpod.io/pods/pricing. */
const DISK_DOLLARS_PER_GB_HOUR = 0.1 / 730;

export interface Cost {
  /** All of the pod, per hour. */
  readonly dollarsPerHour: number;
  readonly createdAt: number;
  /** Null: no budget. */
  readonly leaseEndsAt: number | null;
  /** When RunPod confirmed it; null: not yet. */
  readonly removedAt: number | null;
}

/** Container disk included: whether RunPod's `cost` has it is not documented, and a budget must not fall short of it. */
export function podDollarsPerHour(gpuPrice: number, diskGb: number): number {
  return gpuPrice + diskGb * DISK_DOLLARS_PER_GB_HOUR;
}

/** Dollars of all pods until now. */
export function spent(pods: readonly Cost[], now: number): number {
  return sum(pods, ({ removedAt }) => removedAt ?? now);
}

/** Dollars of all pods if each runs to the end of its lease. */
export function committed(pods: readonly Cost[], now: number): number {
  return sum(pods, ({ removedAt, leaseEndsAt }) => removedAt ?? Math.max(leaseEndsAt ?? now, now));
}

function sum(pods: readonly Cost[], endOf: (pod: Cost) => number): number {
  return pods.reduce((total, pod) => {
    return total + pod.dollarsPerHour * Math.max(0, endOf(pod) - pod.createdAt) / HOUR_MS;
  }, 0);
}

/** How many of `wanted` more pods the budget pays for, each for at least the shortest lease. */
export function affordable(
  pods: readonly Cost[],
  budget: number | null,
  now: number,
  dollarsPerHour: number,
  wanted: number,
): number {
  if (budget === null) return wanted;
  const smallest = dollarsPerHour * MIN_LEASE_MS / HOUR_MS;
  return Math.max(0, Math.min(wanted, Math.floor((budget - committed(pods, now)) / smallest)));
}

/**
 * How long a new pod's lease is if the rest of the budget is shared by `openCount` new pods; null if that is too short. Call it
 * with a budget.
 */
export function leaseMs(
  pods: readonly Cost[],
  budget: number,
  now: number,
  dollarsPerHour: number,
  openCount: number,
): number | null {
  const share = (budget - committed(pods, now)) / Math.max(1, openCount);
  const lease = Math.floor(share / dollarsPerHour * HOUR_MS);
  return lease >= MIN_LEASE_MS ? lease : null;
}
