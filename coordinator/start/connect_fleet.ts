/** The fleet over NATS: connects, takes the lead, and only then sends or receives. */
import type { LeaseOptions } from "../../shared/bus/bus.ts";
import type { Clock } from "../../shared/clock.ts";
import { LoraFleetError, messageOf } from "../../shared/errors.ts";
import { LIMITS, type Limits } from "../../shared/protocol/limits.ts";
import type { Log } from "../../shared/log.ts";
import type { BrokerHealth } from "../broker/broker_health.ts";
import type { Fleet } from "../fleet/fleet.ts";
import { createFleet } from "../fleet/over_bus/fleet_over_bus.ts";
import type { FleetOptions } from "../fleet/over_bus/fleet_context.ts";
import { tryToLead } from "./leadership/leadership.ts";
import { type Standby, waitToLead } from "./leadership/standby.ts";
import type { Broker } from "../broker/broker.ts";
import { connectBroker, explainStore } from "./broker_bus.ts";

/** A broker that is silent for this long is not ready. */
const BROKER_ANSWER_MS = 2000;
/** How often a standby asks for the lease. */
const LEASE_INTERVAL_MS = 500;

export interface ConnectOptions
  extends Pick<FleetOptions, "artifacts" | "coordinatorId" | "quarantines" | "layoutOf" | "onFlood"> {
  readonly health: BrokerHealth;
  readonly lease: Pick<LeaseOptions, "holder" | "succeeds">;
  /** A broker that has lost its store gives lower terms than the data folder has seen. */
  readonly minTerm?: number;
  readonly standby: Standby;
  /** Rejects if the fleet could not work at the broker. */
  readonly assertUsable?: () => Promise<void>;
}

/** The fleet with its connection to the broker. */
export interface ConnectedFleet {
  readonly fleet: Fleet;
  readonly term: number;
  /** Resolves with the reason when another coordinator leads at the broker. */
  readonly lost: Promise<string>;
  /** Rejects if the broker does not answer or the coordinator does not certainly lead. */
  assertConnected(): Promise<void>;
  /** Rejects if the broker does not store what it is asked to. */
  assertStores(): Promise<void>;
  close(): Promise<void>;
}

interface ConnectParts {
  readonly clock: Clock;
  readonly log: Log;
  readonly limits?: Limits;
}

/**
 * Throws a `LoraFleetError` if the broker cannot be reached or refuses us; `conflict` if another coordinator leads and
 * standing by is not allowed.
 */
export async function connectFleet(
  { clock, log, limits = LIMITS }: ConnectParts,
  broker: Broker,
  { lease, minTerm = 0, standby, health, assertUsable, ...options }: ConnectOptions,
): Promise<ConnectedFleet> {
  const onDefect = (message: string, thrown: unknown) => log("warn", `${message}: ${messageOf(thrown)}`);
  await assertUsable?.();
  const { bus, brokerName } = await connectBroker(broker, log, onDefect);
  await using started = new AsyncDisposableStack();
  started.defer(() => bus.close());
  bus.onStatus((status) => log(status === "disconnected" ? "warn" : "info", `${brokerName}: ${status}`));
  const leadership = await waitToLead(
    standby,
    brokerName,
    LEASE_INTERVAL_MS,
    () =>
      tryToLead({
        ...{ ...lease, ttlMs: limits.leaderLeaseMs, bus, clock, brokerName, log },
        onTrouble: (problem) => health.report("lease", problem),
      }).catch((thrown) => {
        throw explainStore(thrown, brokerName);
      }),
  );
  started.defer(() => leadership.close());
  const { isHeld } = leadership;
  const term = Math.max(leadership.term, minTerm);
  const fleet = createFleet({
    ...options,
    ...{ health, term, isHeld, bus: leadership.bus, clock, limits, onDefect, log },
  });
  started.defer(() => fleet.close());
  const running = started.move();
  return {
    ...{ fleet, term },
    lost: leadership.lost,
    async assertConnected() {
      if (!isHeld()) {
        const why = health.trouble === null ? "" : `: ${health.trouble.problem}`;
        throw new LoraFleetError("conflict", `another coordinator may lead${why}`);
      }
      const answered = new AbortController();
      const late = clock.sleep(BROKER_ANSWER_MS, answered.signal).then(() => {
        throw new LoraFleetError("timeout", `no answer in ${BROKER_ANSWER_MS} ms`);
      }, () => {});
      await Promise.race([bus.flush(), late]).finally(() => answered.abort());
    },
    async assertStores() {
      const { trouble } = health;
      if (trouble !== null) throw new LoraFleetError("storage", trouble.problem);
      await leadership.probe();
    },
    close: () => running.disposeAsync(),
  };
}
