/**
 * Leading at a broker: one coordinator has the lease, renews it, and speaks only while it is certain to have it. Whoever
 * was silent for longer than the lease lasts, paused or cut off, says nothing more until a renewal has shown that nobody
 * else has led since.
 */
import type { Bus, Lease, LeaseOptions } from "../../shared/bus/bus.ts";
import type { Clock } from "../../shared/clock.ts";
import { LoraFleetError, messageOf } from "../../shared/errors.ts";
import { LEADER_LEASE } from "../../shared/protocol/subjects.ts";
import { leasedBus } from "./leased_bus.ts";

export interface Leadership {
  /** What may be said and stored by the one that leads. */
  readonly bus: Bus;
  readonly term: number;
  isHeld(): boolean;
  /** Renews the lease now, which is a message that the broker has to store. Rejects with why it does not. */
  probe(): Promise<void>;
  /** Resolves with a sentence when another coordinator leads. */
  readonly lost: Promise<string>;
  /** Ends it, so that the next one may lead at once. The bus stays open. */
  close(): Promise<void>;
}

export interface LeadershipOptions extends LeaseOptions {
  readonly bus: Bus;
  readonly clock: Clock;
  /** For messages: where it leads. */
  readonly brokerName: string;
  readonly log: (level: "info" | "warn", message: string) => void;
  /** Told why a renewal has failed, and null when one succeeds. */
  readonly onTrouble?: (problem: string | null) => void;
}

/** Renewals come so often that two of them may fail. */
const RENEWALS_PER_TTL = 3;
/** Between two tries of a renewal that nobody has answered. */
const RETRY_MS = 500;

/** Tries once. Rejects with code `conflict` while another coordinator leads, and `timeout` where the broker is silent. */
export async function tryToLead(options: LeadershipOptions): Promise<Leadership> {
  const { bus, brokerName } = options;
  const lease = await bus.acquireLease(LEADER_LEASE, options);
  if (lease !== null) return keepLease(lease, options);
  throw new LoraFleetError(
    "conflict",
    `another coordinator leads at ${brokerName}: stop it, or choose another --nats-url`,
    { param: "nats-url" },
  );
}

function keepLease(lease: Lease, options: LeadershipOptions): Leadership {
  const { bus, clock, ttlMs, brokerName, log, onTrouble } = options;
  const over = new AbortController();
  const lost = Promise.withResolvers<string>();

  let renewing: Promise<void> | null = null;

  /** Each builds upon the one before: two at once would take each other for another coordinator. */
  function renew(): Promise<void> {
    return renewing ??= lease.renew().finally(() => renewing = null);
  }

  async function renewForEver(): Promise<void> {
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
  renewForEver().catch(() => {});

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
