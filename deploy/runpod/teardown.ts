/** Removes a fleet's pods until RunPod confirms that none is left; what it cannot confirm stays in the state. */
import { LoraFleetError, messageOf } from "../../shared/errors.ts";
import { RunPodApi } from "./api/runpod_api.ts";
import { podDollarsPerHour } from "./budget.ts";
import type { Connection } from "./api/connection.ts";
import { dollars } from "./dollars.ts";
import type { FleetState, PodRecord } from "./fleet_state.ts";
import { isOf } from "./names.ts";
import type { Pod } from "./api/schemas.ts";

export interface TeardownRequest {
  readonly connection: Connection;
  readonly state: FleetState;
  readonly fleet: string;
  /** How long a RunPod that does not answer is asked again. */
  readonly patienceMs: number;
  readonly print: (line: string) => void;
  /** Ends the attempts: a second Ctrl-C. */
  readonly signal: AbortSignal;
}

export interface TeardownOutcome {
  readonly removedCount: number;
  /** May be running. */
  readonly left: readonly PodRecord[];
  /** Why; null without any. */
  readonly failure: string | null;
}

const PAUSE_MS = 5000;
/** A creation that was not answered may show up in the list later: half a minute. */
const UNSEEN_LOOKS = 7;

export async function teardown(request: TeardownRequest): Promise<TeardownOutcome> {
  const { connection: { clock }, state, patienceMs, print, signal } = request;
  const deadline = clock.now() + patienceMs;
  let [removedCount, unseenLooks] = [0, 0];
  for (;;) {
    let [failure, isHopeless] = [null as string | null, false];
    try {
      const pass = await removeOnce(request);
      removedCount += pass.removedCount;
      unseenLooks = pass.removedCount === 0 ? unseenLooks + 1 : 0;
      const isOver = state.left.every(({ id }) => id === null) &&
        (state.left.length === 0 || unseenLooks >= UNSEEN_LOOKS);
      if (isOver && pass.removedCount === 0) {
        await state.forget();
        return { removedCount, left: [], failure: null };
      }
    } catch (thrown) {
      failure = messageOf(thrown);
      isHopeless = thrown instanceof LoraFleetError && thrown.code === "unauthorized";
      if (!signal.aborted && !isHopeless) print(`${failure}; trying again`);
    }
    if (signal.aborted || isHopeless || clock.now() >= deadline) {
      return {
        removedCount,
        left: state.left,
        failure: failure ?? "RunPod still lists pods that it has removed",
      };
    }
    if (failure !== null || state.left.length > 0) await clock.sleep(PAUSE_MS, signal).catch(() => {});
  }
}

/** Removes what the list and the state have. Throws what RunPod answers if anything fails, after having tried the others. */
async function removeOnce(
  { connection, state, fleet, print, signal }: TeardownRequest,
): Promise<{ readonly removedCount: number }> {
  const api = new RunPodApi(connection, signal);
  const listed = (await api.pods()).filter(({ name }) => isOf(name, fleet));
  await adopt(state, listed);
  let [removedCount, failure] = [0, null as unknown];
  for (const { name, id, gpu } of state.left) {
    if (id === null) continue;
    try {
      await api.remove(id);
      const now = connection.clock.now();
      await state.change(name, { removedAt: now });
      const { dollarsPerHour, createdAt } = state.pods.find((pod) => pod.name === name)!;
      const cost = dollarsPerHour * (now - createdAt) / 3_600_000;
      print(`removed ${name} (${gpu}), which has cost ${dollars(cost)}`);
      removedCount++;
    } catch (thrown) {
      failure ??= thrown;
      signal.throwIfAborted();
    }
  }
  if (failure !== null) throw failure;
  return { removedCount };
}

/** Pods that only RunPod's list knows become records, and records without an id get theirs. */
export async function adopt(state: FleetState, listed: readonly Pod[]): Promise<void> {
  for (const pod of listed) {
    const known = state.pods.find(({ name }) => name === pod.name);
    if (known === undefined) await state.add(recordOf(pod));
    // One that is listed is not gone, whatever RunPod has confirmed.
    else if (known.id === null || known.removedAt !== null) {
      await state.change(pod.name, { id: pod.id, removedAt: null });
    }
  }
}

/** As well as the list says. */
function recordOf(pod: Pod): PodRecord {
  const leaveAt = Date.parse(pod.env["LORAFLEET_LEAVE_AT"] ?? "");
  return {
    ...{ name: pod.name, id: pod.id, gpu: pod.gpu?.id ?? "unknown GPU", cloud: pod.cloud, isSpot: false },
    dollarsPerHour: podDollarsPerHour(pod.cost, 0),
    createdAt: Date.parse(pod.createdAt),
    leaseEndsAt: Number.isNaN(leaveAt) ? null : leaveAt,
    removedAt: null,
  };
}

/** Of pods that may go on costing money. */
export function leftMessage(names: readonly string[], fleet: string, failure: string | null): string {
  const pods = names.length > 0
    ? `pods may still run and cost money: ${names.join(", ")}`
    : "pods may still run";
  return `${pods} (${failure ?? "not confirmed"}); run deploy:runpod down --fleet ${fleet} again, ` +
    "or remove them at https://console.runpod.io/pods";
}
