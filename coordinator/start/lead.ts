/** Takes the lead at the broker; the data folder remembers under which names its coordinators have led. */
import { LoraFleetError, messageOf } from "../../shared/errors.ts";
import type { CoordinatorConfig } from "../config/config.ts";
import type { Standby } from "./leadership/standby.ts";
import { layoutOfJob } from "../planning/adapter_layout.ts";
import { randomText } from "../storage/ids.ts";
import type { BrokerAccess } from "./broker_access.ts";
import type { ConnectedFleet } from "./connect_fleet.ts";
import type { DataFolder } from "./data_folder.ts";
import { type Identity, saveIdentity } from "./identity.ts";
import type { CoordinatorParts } from "./parts.ts";

/** How many processes on this folder may end one after the other while waiting to lead. */
const MAX_LEASE_HOLDERS = 100;

export interface Leading {
  readonly connected: ConnectedFleet;
  readonly identity: Identity;
}

/** Throws what `connectFleet` throws, and `storage` if the identity cannot be saved. */
export async function takeLead(
  config: CoordinatorConfig,
  parts: CoordinatorParts,
  { accessStore, artifacts, identity: loaded }: DataFolder,
  { broker, own, knowsWorkers, access, health, assertUsable }: BrokerAccess,
  standby: Standby,
): Promise<Leading> {
  const wanted = config.joinToken ?? loaded.joinToken;
  const joinToken = access.defaultToken(wanted, "printed at the start", config.joinTokenTtlMs);
  if (config.joinToken !== null && joinToken !== config.joinToken) {
    const message =
      "LORAFLEET_JOIN_TOKEN no longer admits workers: it was revoked or has expired; set another";
    throw new LoraFleetError("usage", message, { param: "join-token" });
  }
  const holder = randomText(16);
  const identity: Identity = {
    ...loaded,
    joinToken,
    natsPort: own?.port ?? loaded.natsPort,
    leaseHolders: [holder],
    term: loaded.term + 1,
  };
  // Saved before leading: if this process is killed now, its successor need not wait for its lease to expire.
  const leaseHolders = [...loaded.leaseHolders, holder].slice(-MAX_LEASE_HOLDERS);
  await saveIdentity(config.dataFolder, { ...identity, leaseHolders });
  const connected = await parts.connectFleet(broker, {
    artifacts,
    quarantines: accessStore,
    onFlood: floodHandler(parts, { knowsWorkers, access }),
    // Workers cannot load what cannot be read here either, and their error has more detail.
    layoutOf: (planned) => layoutOfJob(planned).catch(() => null),
    ...{ health, assertUsable },
    coordinatorId: loaded.coordinatorId,
    // This process holds the folder's lock, so the earlier holders are gone.
    lease: { holder, succeeds: loaded.leaseHolders },
    minTerm: identity.term,
    standby,
  });
  const leading = { ...identity, term: connected.term };
  await saveIdentity(config.dataFolder, leading);
  return { connected, identity: leading };
}

/** Revokes a worker that floods the broker. Where all workers are one user, any could frame another. */
function floodHandler(
  { log }: Pick<CoordinatorParts, "log">,
  { knowsWorkers, access }: Pick<BrokerAccess, "knowsWorkers" | "access">,
): (worker: string, reason: string) => void {
  if (!knowsWorkers) return (_worker, reason) => log("error", reason);
  return (worker, reason) => {
    log("error", `${reason}: its credential is revoked and its connections are closed`);
    access.revokeWorker(worker).catch((thrown) =>
      log("error", `cannot revoke ${worker}: ${messageOf(thrown)}`)
    );
  };
}
