/** What to do with a job's pods now: a pure decision, with its reason. */
import { REMOVE_BEFORE_MS } from "./budget.ts";

export interface PodSituation {
  readonly name: string;
  /** `ended`: stopped by RunPod, or failed; it is in the list until it is removed. */
  readonly state: "starting" | "running" | "ended";
  readonly createdAt: number;
  readonly leaseEndsAt: number | null;
}

export interface Situation {
  readonly now: number;
  /** Null: the coordinator does not answer. */
  readonly jobStatus: string | null;
  /** For how long it has not. */
  readonly silentMs: number;
  readonly pods: readonly PodSituation[];
  /** Pods that the user wants at most. */
  readonly count: number;
  /** How many more pods the budget pays for. */
  readonly affordableCount: number;
  /** Pods one after the other that have ended soon after their start. */
  readonly shortLivedCount: number;
}

export type Outcome = "done" | "failed" | "budget" | "broken";

export interface Decision {
  readonly remove: readonly { readonly name: string; readonly reason: string }[];
  readonly createCount: number;
  /** Set: remove everything and end. */
  readonly finish: { readonly outcome: Outcome; readonly reason: string } | null;
}

/** A coordinator that is being moved or upgraded is back by then. */
const MAX_SILENT_MS = 15 * 60_000;
/** Images have gigabytes, and community hosts slow disks. */
export const START_TIMEOUT_MS = 20 * 60_000;
/** A pod that ends earlier has not worked: the image, the key or the join URL is wrong. */
export const SHORT_LIFE_MS = 10 * 60_000;

export function decide(situation: Situation): Decision {
  const finish = finishOf(situation);
  if (finish !== null) return { remove: [], createCount: 0, finish };
  const { now, pods, count, jobStatus, affordableCount } = situation;
  const remove = pods.flatMap((pod) => {
    const reason = reasonToRemove(pod, now);
    return reason === null ? [] : [{ name: pod.name, reason }];
  });
  // What these pods leave of their leases pays for others: decide again without them.
  if (remove.length > 0) return { remove, createCount: 0, finish: null };
  const wanted = wantsPods(jobStatus) ? Math.max(0, count - pods.length) : 0;
  const isSpent = wanted > 0 && pods.length === 0 && affordableCount === 0;
  const spent = { outcome: "budget", reason: "the budget pays for no further pod" } as const;
  return { remove: [], createCount: Math.min(wanted, affordableCount), finish: isSpent ? spent : null };
}

function finishOf({ jobStatus, silentMs, shortLivedCount, count }: Situation): Decision["finish"] {
  if (jobStatus === "succeeded") return { outcome: "done", reason: "the job has succeeded" };
  if (jobStatus === "failed" || jobStatus === "cancelled") {
    return {
      outcome: "failed",
      reason: jobStatus === "failed" ? "the job has failed" : "the job was cancelled",
    };
  }
  if (jobStatus === null && silentMs >= MAX_SILENT_MS) {
    return {
      outcome: "broken",
      reason: `the coordinator has not answered for ${MAX_SILENT_MS / 60_000} min`,
    };
  }
  if (shortLivedCount >= Math.max(4, 2 * count)) {
    const reason = `${shortLivedCount} pods have ended within ${SHORT_LIFE_MS / 60_000} min of their start`;
    return { outcome: "broken", reason };
  }
  return null;
}

function reasonToRemove({ state, createdAt, leaseEndsAt }: PodSituation, now: number): string | null {
  if (state === "ended") return "RunPod has stopped it";
  if (leaseEndsAt !== null && now >= leaseEndsAt - REMOVE_BEFORE_MS) {
    return "its part of the budget is used up";
  }
  if (state === "starting" && now - createdAt >= START_TIMEOUT_MS) {
    return `it has not started in ${START_TIMEOUT_MS / 60_000} min`;
  }
  return null;
}

/** While its files are checked a job needs no GPU; what a paused job needs is for its user to say. */
function wantsPods(jobStatus: string | null): boolean {
  return jobStatus === "queued" || jobStatus === "running";
}
