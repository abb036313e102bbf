/**
 * Leading at a broker: one coordinator holds the lease, renews it, and sends only while it certainly holds it. A coordinator
 * that was paused or cut off for longer than the lease lasts sends nothing until a renewal shows that no other has led since.
 */
import type { Bus, Lease, LeaseOptions } from "../../../shared/bus/bus.ts";
import type { Clock } from "../../../shared/clock.ts";
import { LoraFleetError, messageOf } from "../../../shared/errors.ts";
import { LEADER_LEASE } from "../../../shared/protocol/subjects.ts";
import { leasedBus } from "./leased_bus.ts";

interface Leadership {
  /** Sends and stores only while the lease is held. */
  readonly bus: Bus;
  readonly term: number;
  isHeld(): boolean;
  /** Renews the lease now, which the broker has to store. Rejects with the reason if it does not. */
  probe(): Promise<void>;
  /** Resolves with the reason when another coordinator leads. */
  readonly lost: Promise<string>;
  /** Releases the lease, so that the next coordinator can lead at once. The bus stays open. */
  close(): Promise<void>;
}

interface LeadershipOptions extends LeaseOptions {
  readonly bus: Bus;
  readonly clock: Clock;
  /** For messages. */
  readonly brokerName: string;
  readonly log: (level: "info" | "warn", message: string) => void;
  /** Called with the reason of a failed renewal, and with null for a successful one. */
  readonly onTrouble?: (problem: string | null) => void;
}

/** Two renewals in a row may fail. */
const RENEWALS_PER_TTL = 3;
/** Between attempts at an unanswered renewal. */
const RETRY_MS = 500;

/** Tries once. Rejects with `conflict` while another coordinator leads, and `timeout` if the broker is silent. */
export async function tryToLead(options: LeadershipOptions): Promise<Leadership> {
  const { bus, brokerName } = options;
  const lease = await bus.acquireLease(LEADER_LEASE, options);
  if (lease !== null) return keepLease(lease, options);
  const message = `another coordinator leads at ${brokerName}: stop it, or choose a different --nats-url`;
  throw new LoraFleetError("conflict", message, { param: "nats-url" });
}

function keepLease(lease: Lease, options: LeadershipOptions): Leadership {
  const { bus, clock, ttlMs, brokerName, log, onTrouble } = options;
  const over = new AbortController();
  const lost = Promise.withResolvers<string>();

  let renewing: Promise<void> | null = null;

  /** Never two at once: each builds on the one before, and would mistake a concurrent one for another coordinator. */
  function renew(): Promise<void> {
    return renewing ??= lease.renew().finally(() => renewing = null);
  }

  async function keepRenewing(): Promise<void> {
    for (let failure = "";;) {
      await clock.sleep(failure === "" ? ttlMs / RENEWALS_PER_TTL : RETRY_MS, over.signal);
      try {
        await renew();
        onTrouble?.(null);
        if (failure !== "") log("info", "the lease is renewed: this coordinator leads");
        failure = "";
      } catch (thrown) {
        over.signal.throwIfAborted();
        if (thrown instanceof LoraFleetError && thrown.code === "conflict") {
          const reason = `another coordinator leads at ${brokerName}: this one was silent for longer than ` +
            `the ${ttlMs / 1000} s that its lease lasts, and ends`;
          over.abort(new LoraFleetError("aborted", reason));
          return lost.resolve(reason);
        }
        if (failure === "") log("warn", `${messageOf(thrown)}; trying again`);
        failure = messageOf(thrown);
        onTrouble?.(failure);
      }
    }
  }
  keepRenewing().catch(() => {});

  return {
    bus: leasedBus(bus, lease, clock, over.signal),
    term: lease.term,
    isHeld: lease.isHeld,
    probe: renew,
    lost: lost.promise,
    async close() {
      over.abort(new LoraFleetError("aborted", "the coordinator is stopping"));
      await lease.release();
    },
  };
}
