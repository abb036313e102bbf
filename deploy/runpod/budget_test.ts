import { assert, assertAlmostEquals, assertEquals } from "@std/assert";
import fc from "fast-check";
import {
  affordable,
  committed,
  type Cost,
  leaseMs,
  MIN_LEASE_MS,
  podDollarsPerHour,
  spent,
} from "./budget.ts";

const HOUR = 3_600_000;
const pod = (change: Partial<Cost> = {}): Cost => ({
  ...{ dollarsPerHour: 0.5, createdAt: 0, leaseEndsAt: 4 * HOUR, removedAt: null },
  ...change,
});

Deno.test("money counts from a pod's creation to its confirmed removal", () => {
  assertAlmostEquals(spent([pod(), pod({ removedAt: HOUR })], 2 * HOUR), 1.5);
  assertAlmostEquals(committed([pod(), pod({ removedAt: HOUR })], 2 * HOUR), 2.5);
  assertAlmostEquals(committed([pod()], 6 * HOUR), 3, 1e-9, "past its lease it costs on until it is gone");
});

Deno.test("the disk counts at its monthly price", () => {
  assertAlmostEquals(podDollarsPerHour(0.46, 73), 0.47);
});

Deno.test("new pods share what is left; too little for a start is none", () => {
  assertEquals(leaseMs([], 4, 0, 0.5, 4), 2 * HOUR);
  assertEquals(leaseMs([pod()], 4, 0, 0.5, 1), 4 * HOUR);
  assertEquals(leaseMs([pod()], 2.1, 0, 0.5, 1), null);
  assertEquals(
    [affordable([], 1, 0, 0.5, 20), affordable([], 1, 0, 0.5, 3), affordable([], null, 0, 0.5, 9)],
    [8, 3, 9],
  );
  assertEquals(affordable([pod({ leaseEndsAt: 2 * HOUR })], 1, 0, 0.5, 3), 0);
});

Deno.test("whatever is rented, removed early or kept to its lease's end: the sum stays within the budget", () => {
  const action = fc.record({
    waitMs: fc.integer({ min: 0, max: 3 * HOUR }),
    price: fc.double({ min: 0.05, max: 5, noNaN: true }),
    count: fc.integer({ min: 1, max: 8 }),
    removesIndex: fc.option(fc.nat(20)),
  });
  fc.assert(
    fc.property(
      fc.double({ min: 0.1, max: 50, noNaN: true }),
      fc.array(action, { maxLength: 25 }),
      (budget, actions) => {
        let now = 0;
        let pods: Cost[] = [];
        for (const { waitMs, price, count, removesIndex } of actions) {
          now += waitMs;
          pods = pods.map((one) =>
            one.removedAt === null && one.leaseEndsAt! <= now ? { ...one, removedAt: one.leaseEndsAt } : one
          );
          pods = pods.map((one, index) =>
            index === removesIndex && one.removedAt === null ? { ...one, removedAt: now } : one
          );
          for (let open = affordable(pods, budget, now, price, count); open > 0; open--) {
            const lease = leaseMs(pods, budget, now, price, open);
            // What is affordable can be leased.
            assert(lease !== null && lease >= MIN_LEASE_MS);
            pods = [...pods, {
              dollarsPerHour: price,
              createdAt: now,
              leaseEndsAt: now + lease,
              removedAt: null,
            }];
          }
          assert(committed(pods, now) <= budget + 1e-9, `${committed(pods, now)} of ${budget}`);
        }
      },
    ),
    { seed: 1, numRuns: 300 },
  );
});
