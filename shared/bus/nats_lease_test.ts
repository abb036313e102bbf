import { assertEquals } from "@std/assert";
import { whyRefused } from "./nats_lease.ts";

Deno.test("a refused renewal ends the lease only if somebody else has written since", () => {
  const last = { holder: "a", revision: 7 };
  const why = (holder: string | null, revision: number) => whyRefused({ holder, revision }, last);
  assertEquals(why("a", 8), "answer lost");
  // In a cluster that has just lost its majority: the renewal before is neither stored nor given up.
  assertEquals(why("a", 7), "on its way");
  assertEquals([why(null, 0), why(null, 9)], ["expired", "expired"]);
  assertEquals([why("b", 8), why("b", 7), why("a", 9)], ["new holder", "new holder", "new holder"]);
});
