/** Leases of the broker in memory: what a bucket of JetStream does for `nats_lease.ts`, in the clock's time. */
import type { Clock } from "../clock.ts";
import { LoraFleetError, quote } from "../errors.ts";
import type { Bus, Lease, LeaseOptions } from "../bus/bus.ts";

interface Held {
  readonly holder: string;
  /** Counts the writes of this name. */
  readonly revision: number;
  readonly until: number;
}

export function createMemoryLeases(
  clock: Clock,
): { client(assertOpen: (attempted: string) => void): Pick<Bus, "acquireLease"> } {
  const leases = new Map<string, Held>();

  function write(name: string, holder: string, ttlMs: number): number {
    const revision = 1 + (leases.get(name)?.revision ?? 0);
    leases.set(name, { holder, revision, until: clock.now() + ttlMs });
    return revision;
  }

  function acquire(
    name: string,
    { holder, succeeds = [], ttlMs }: LeaseOptions,
    assertOpen: (attempted: string) => void,
  ): Lease | null {
    assertOpen(`acquire the lease ${quote(name)}`);
    const held = leases.get(name);
    const isFree = held === undefined || clock.now() >= held.until ||
      [holder, ...succeeds].includes(held.holder);
    if (!isFree) return null;
    const term = write(name, holder, ttlMs);
    let revision = term;
    let until = clock.now() + ttlMs;
    const isNewest = () => leases.get(name)?.revision === revision;
    return {
      term,
      isHeld: () => clock.now() < until,
      renew: () =>
        new Promise((resolve) => {
          assertOpen(`renew the lease ${quote(name)}`);
          if (!isNewest()) {
            until = -Infinity;
            throw new LoraFleetError(
              "conflict",
              `cannot renew the lease ${quote(name)}: there was a new holder`,
            );
          }
          revision = write(name, holder, ttlMs);
          until = clock.now() + ttlMs;
          resolve();
        }),
      release: () => {
        if (isNewest()) write(name, holder, 0);
        until = revision = -Infinity;
        return Promise.resolve();
      },
    };
  }

  return {
    client: (assertOpen) => ({
      acquireLease: (name, options) => new Promise((resolve) => resolve(acquire(name, options, assertOpen))),
    }),
  };
}
