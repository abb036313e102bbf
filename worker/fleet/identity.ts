/** Who this process is in the fleet: a key pair of its own, the id that follows from it, and how it is shown (decision 0010). */
import { connectNatsBus } from "../../shared/bus/nats_bus.ts";
import type { BusErrorHandler } from "../../shared/bus/bus.ts";
import { createNatsKeys } from "../../shared/bus/nats_keys.ts";
import { workerIdOf } from "../../shared/protocol/ids.ts";
import { inboxPrefix } from "../../shared/protocol/subjects.ts";
import type { CoordinatorLinkOptions } from "./coordinator_link.ts";
import { askJoinUrl, type JoinOptions } from "./join.ts";

export interface WorkerIdentity extends Pick<CoordinatorLinkOptions, "join" | "connect"> {
  /** The worker's id. */
  readonly worker: string;
}

interface WorkerIdentityOptions extends Pick<JoinOptions, "url" | "fetch" | "clock" | "timeoutMs"> {
  /** Authorities (PEM) that may sign certificates besides those that the system knows; null: none. */
  readonly tlsCa: string | null;
  readonly onBusError: BusErrorHandler;
}

/** New keys at each call: what one process is called, no other can be called. The secret part stays in its memory. */
export function createWorkerIdentity(
  { onBusError, tlsCa, ...common }: WorkerIdentityOptions,
): WorkerIdentity {
  const keys = createNatsKeys("user");
  const { publicKey } = keys;
  const worker = workerIdOf(publicKey);
  return {
    worker,
    join: (signal, token) => askJoinUrl({ ...common, publicKey, token, signal }),
    connect: ({ natsUrl, natsUser, natsPassword, natsTakesToken, natsTlsCa }, purpose, newestToken) => {
      const ca = tlsCa ?? natsTlsCa;
      return connectNatsBus({
        servers: natsUrl,
        ...(natsUser === "" ? {} : { user: natsUser, pass: natsPassword }),
        ...(natsTakesToken === true ? { identity: { keys, token: newestToken }, mayOnlyPull: true } : {}),
        inboxPrefix: inboxPrefix(worker),
        name: `${worker} ${purpose}`,
        ...(ca === undefined ? {} : { tlsCa: ca }),
        onError: onBusError,
      });
    },
  };
}
