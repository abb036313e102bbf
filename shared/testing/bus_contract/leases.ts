/** The contract of leases. */
import { assert, assertEquals } from "@std/assert";
import type { Bus, Lease } from "../../bus/bus.ts";
import { systemClock } from "../../clock.ts";
import { assertCode, type Clauses } from "./clause.ts";

const LEASE_MS = 2000;

function acquire(bus: Bus, name: string, holder: string, succeeds: readonly string[] = []) {
  return bus.acquireLease(name, { holder, succeeds, ttlMs: LEASE_MS });
}

/** The lease, which has to be free. */
async function acquired(
  bus: Bus,
  name: string,
  holder: string,
  succeeds?: readonly string[],
): Promise<Lease> {
  const lease = await acquire(bus, name, holder, succeeds);
  assert(lease !== null, `${holder} should get the lease`);
  return lease;
}

export const LEASE_CLAUSES: Clauses = {
  "a lease has one holder; once released, the next one gets it at once, with a larger term": async (
    { name, connect },
  ) => {
    const [first, second] = [await connect(), await connect()];
    const held = await acquired(first, name, "a");
    assertEquals([held.isHeld(), await acquire(second, name, "b"), await acquire(first, name, "c")], [
      true,
      null,
      null,
    ]);
    await held.release();
    assertEquals(held.isHeld(), false);
    const next = await acquired(second, name, "b");
    assert(next.term > held.term, `${next.term} after ${held.term}`);
    await held.release();
    await assertCode("conflict", () => held.renew());
    assertEquals([next.isHeld(), await acquire(first, name, "c")], [true, null]);
  },

  "one of many concurrent acquirers gets the lease": async ({ name, connect }) => {
    const buses = await Promise.all(Array.from({ length: 8 }, () => connect()));
    const began = systemClock.now();
    const got = await Promise.all(buses.map((bus, index) => acquire(bus, name, `holder-${index}`)));
    const tookMs = systemClock.now() - began;
    assert(tookMs < LEASE_MS, `${tookMs} ms: one of them waited for an answer that never came`);
    // On a busy machine the first one's lease may expire before the last one asks.
    assert(got.some((lease) => lease !== null));
    assert(got.filter((lease) => lease?.isHeld()).length <= 1);
  },

  "a renewed lease outlives its ttl and keeps its term": async ({ name, connect, broker }) => {
    const [first, second] = [await connect(), await connect()];
    const held = await acquired(first, name, "a");
    for (let turn = 0; turn < 6; turn++) {
      await broker.pass(LEASE_MS / 4);
      await held.renew();
    }
    assertEquals([held.isHeld(), await acquire(second, name, "b")], [true, null]);
    const { term } = held;
    await held.release();
    assert((await acquired(second, name, "b")).term > term);
  },

  "a holder that did not renew in time knows it, and cannot renew after a new holder": async (
    { name, connect, broker },
  ) => {
    const [first, second] = [await connect(), await connect()];
    const held = await acquired(first, name, "a");
    let next = await acquire(second, name, "b");
    for (let turn = 0; turn < 20 && next === null; turn++) {
      await broker.pass(LEASE_MS / 4);
      // Read first: the holder must know before the lease can go to the next one.
      const wasHeld = held.isHeld();
      next = await acquire(second, name, "b");
      assert(next === null || !wasHeld, "the lease has two holders");
    }
    assert(next !== null && next.term > held.term, "the lease never expired");
    await assertCode("conflict", () => held.renew());
    assertEquals([held.isHeld(), next.isHeld(), await acquire(first, name, "a")], [false, true, null]);
    await next.renew();
    // Nor after the new holder's release: the old one cannot know what was done meanwhile.
    await next.release();
    await assertCode("conflict", () => held.renew());
  },

  "an expired lease can be renewed as long as no other holder has had it": async (
    { name, connect, broker },
  ) => {
    const [first, second] = [await connect(), await connect()];
    const held = await acquired(first, name, "a");
    await broker.pass(2 * LEASE_MS);
    assertEquals(held.isHeld(), false);
    await held.renew();
    assertEquals([held.isHeld(), await acquire(second, name, "b")], [true, null]);
  },

  "a successor gets the lease at once, and its predecessor has lost it": async ({ name, connect }) => {
    const [first, second] = [await connect(), await connect()];
    const held = await acquired(first, name, "a");
    const next = await acquired(second, name, "b", ["a"]);
    assert(next.term > held.term);
    await assertCode("conflict", () => held.renew());
    assertEquals([next.isHeld(), await acquire(first, name, "c", ["a"])], [true, null]);
  },
};
