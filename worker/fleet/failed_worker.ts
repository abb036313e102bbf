/** The end of a worker that has failed: its container's health check says why, and a rented pod does not idle. */
import { LoraFleetError, messageOf } from "../../shared/errors.ts";
import { showFailure } from "./alive_file.ts";
import { type OwnPod, type RemovalOptions, removeFailedPod } from "./own_pod.ts";

interface Surroundings extends RemovalOptions {
  /** The file of a container's health check; null: none looks. */
  readonly aliveFile: string | null;
  /** The pod to remove; null: none, or not wanted. */
  readonly pod: OwnPod | null;
  /** Whether this machine is a pod at RunPod, which starts again what ends. */
  readonly isPod: boolean;
  /** Somebody stops the worker: it ends at once. */
  readonly signal: AbortSignal;
}

/** Before the next start, which would find the same: time for the health check to be seen. */
const SHOWN_MS = 300_000;

/**
 * Returns when the process may end. A container without a GPU stays for five minutes, unhealthy, instead of being started again
 * and again; what is rented is removed.
 */
export async function endFailed(
  thrown: unknown,
  { aliveFile, pod, isPod, signal, ...options }: Surroundings,
): Promise<void> {
  const reason = messageOf(thrown);
  const { log, clock } = options;
  if (aliveFile !== null) {
    await showFailure(aliveFile, reason).catch((failure) =>
      log("warn", `cannot write ${aliveFile}: ${messageOf(failure)}`)
    );
  }
  if (pod !== null) return await removeFailedPod(pod, reason, options);
  if (isPod) {
    log("warn", "this pod goes on costing money; with LORAFLEET_REMOVE_POD=1 a worker that fails removes it");
  }
  const isLasting = thrown instanceof LoraFleetError && thrown.code === "no_gpu";
  if (aliveFile === null || !isLasting) return;
  log(
    "error",
    `${reason.replace(/\.$/, "")}; this container is unhealthy for ${SHOWN_MS / 60_000} min and ends then`,
  );
  await clock.sleep(SHOWN_MS, signal).catch(() => {});
}
