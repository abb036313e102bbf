/** The coordinator's bus: connected with its identity, to a broker of a version that works. */
import type { Bus } from "../../shared/bus/bus.ts";
import { connectNatsBus, type NatsServerInfo } from "../../shared/bus/nats_bus.ts";
import type { NatsConnectionOptions } from "../../shared/bus/nats_connection.ts";
import { withoutCredentials } from "../../shared/bus/nats_servers.ts";
import { LoraFleetError, messageOf } from "../../shared/errors.ts";
import type { Log } from "../../shared/log.ts";
import type { Broker } from "../broker/broker.ts";
import { checkNatsVersion } from "../broker/nats_versions.ts";

/** Beyond this, broker_patience.ts retries what a job has to store and recreates lost streams. */
const STORE_DEADLINE_MS = 5000;

interface BrokerBus {
  readonly bus: Bus;
  /** For messages, without secrets. */
  readonly brokerName: string;
}

/** Throws `unauthorized`, `timeout`, or `missing_dependency` for a broker that is too old. */
export async function connectBroker(
  broker: Broker,
  log: Log,
  onError: (message: string, thrown: unknown) => void,
): Promise<BrokerBus> {
  const { identities } = broker;
  const servers: NatsServerInfo[] = [];
  const bus = await connectNatsBus({
    ...await connectionOf(broker),
    onError,
    storeDeadlineMs: STORE_DEADLINE_MS,
    domain: broker.domain ?? null,
    onReplicas: createReplicaLog(log),
    onServer: (server) => void servers.push(server),
    ...(identities === null ? {} : { identity: identities.fleet, storeIdentity: identities.streams }),
  });
  try {
    const warning = checkNatsVersion(servers[0]!);
    if (warning !== null) log("warn", warning);
  } catch (thrown) {
    await bus.close();
    throw thrown;
  }
  return { bus, brokerName: `the broker ${withoutCredentials(broker.url).url}` };
}

/** As a connection needs it, but for its identity among the broker's accounts. */
export async function connectionOf(broker: Broker): Promise<NatsConnectionOptions> {
  const { credsPath, tlsCa, tlsServerName } = broker;
  const { url, ...bare } = withoutCredentials(broker.url);
  const [user, password] = [bare.user ?? broker.user, bare.password ?? broker.password];
  return {
    ...{ servers: url, name: "lorafleet coordinator" },
    ...(user === null ? {} : { user }),
    ...(password === null ? {} : { pass: password }),
    ...(tlsCa === undefined ? {} : { tlsCa }),
    ...(tlsServerName === undefined ? {} : { tlsServerName }),
    ...(credsPath === null ? {} : { credentials: await Deno.readFile(credsPath) }),
  };
}

/** One line when streams have another number of copies than those before. */
export function createReplicaLog(log: Log): (stream: string, replicas: number) => void {
  let last = 1;
  return (_stream, replicas) => {
    if (replicas === last) return;
    last = replicas;
    log(
      "info",
      replicas === 1
        ? "streams have one replica: their server may not be away"
        : `streams have ${replicas} replicas: any one server of the cluster may be away`,
    );
  };
}

/** The failure to lead at a broker that cannot store anything, with what to do about it. */
export function explainStore(thrown: unknown, brokerName: string): unknown {
  if (!(thrown instanceof LoraFleetError) || thrown.code === "conflict") return thrown;
  if (!/jetstream (is )?not enabled|jetstream not enabled/i.test(messageOf(thrown))) return thrown;
  const message =
    `${brokerName} gives us no JetStream, which the fleet needs: write "jetstream {}" into its configuration, ` +
    "give the account of the coordinator's credentials JetStream limits, or, if it is a cluster, start more than half of its " +
    `servers (docs/nats.md): ${messageOf(thrown)}`;
  return new LoraFleetError(thrown.code, message, { param: "nats-url", cause: thrown });
}
