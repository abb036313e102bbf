import { assertEquals } from "@std/assert";
import { leastAsked, orderFor, withOrder, withoutOrders } from "./orders.ts";
import { newTraining } from "./state.ts";

const training = newTraining({ generation: 1, members: [] }, 1, 0);

Deno.test("orders have ids that are never given twice, also after they are withdrawn", () => {
  const first = withOrder(training, { index: 3, worker: "w-a", purpose: "audit" });
  assertEquals(orderFor(first, 3, "audit")?.id, 0);
  assertEquals(orderFor(first, 3, "claim"), undefined);
  const none = withoutOrders(first, ({ worker }) => worker === "w-a");
  assertEquals(none.orders, []);
  assertEquals(withOrder(none, { index: 3, worker: "w-b", purpose: "audit" }).orders[0]!.id, 1);
  assertEquals(withoutOrders(none, () => true), none);
});

Deno.test("who has the fewest orders is asked; those who have equally few take turns", () => {
  const candidates = ["w-a", "w-b", "w-c"];
  assertEquals([0, 1, 2, 3].map((index) => leastAsked(training, candidates, index)), [
    ...candidates,
    "w-a",
  ]);
  const busy = withOrder(training, { index: 9, worker: "w-a", purpose: "claim" });
  assertEquals([0, 1, 2].map((index) => leastAsked(busy, candidates, index)), ["w-b", "w-b", "w-c"]);
  assertEquals(leastAsked(training, [], 0), null);
});
