/** This process's identity in the fleet: its own key pair and the id derived from it (decision 0010). */
import { connectNatsBus } from "../../shared/bus/nats_bus.ts";
import type { BusErrorHandler } from "../../shared/bus/bus.ts";
import { createNatsKeys } from "../../shared/bus/nats_keys.ts";
import { workerIdOf } from "../../shared/protocol/ids.ts";
import { inboxPrefix } from "../../shared/protocol/subjects.ts";
import type { CoordinatorLinkOptions } from "./coordinator_link.ts";
import { askJoinUrl, type JoinOptions } from "./join.ts";

export interface WorkerIdentity extends Pick<CoordinatorLinkOptions, "join" | "connect"> {
  readonly worker: string;
}

interface WorkerIdentityOptions extends Pick<JoinOptions, "url" | "fetch" | "clock" | "timeoutMs"> {
  /** PEM of an authority to trust besides the system's; null: none. */
  readonly tlsCa: string | null;
  /** The broker's address for this worker; null or left out: as the join URL says. */
  readonly natsUrl?: string | null;
  readonly onBusError: BusErrorHandler;
}

/** New keys at each call, so that no other process can take this id. The secret part stays in this process's memory. */
export function createWorkerIdentity(
  { onBusError, tlsCa, natsUrl: ownUrl = null, ...common }: WorkerIdentityOptions,
): WorkerIdentity {
  const keys = createNatsKeys("user");
  const { publicKey } = keys;
  const worker = workerIdOf(publicKey);
  return {
    worker,
    join: (signal, token) => askJoinUrl({ ...common, publicKey, token, signal }),
    connect: (reply, purpose, newestToken) => {
      const { natsUrl, natsUser, natsPassword, natsTakesToken, natsTlsCa, natsDomain = null } = reply;
      const ca = tlsCa ?? natsTlsCa;
      return connectNatsBus({
        servers: ownUrl ?? natsUrl,
        ...(natsUser === "" ? {} : { user: natsUser, pass: natsPassword }),
        ...(natsTakesToken === true ? { identity: { keys, token: newestToken }, mayOnlyPull: true } : {}),
        inboxPrefix: inboxPrefix(worker),
        name: `${worker} ${purpose}`,
        domain: natsDomain,
        ...(ca === undefined ? {} : { tlsCa: ca }),
        onError: onBusError,
      });
    },
  };
}
