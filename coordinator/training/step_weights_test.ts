import { assertEquals } from "@std/assert";
import { LIMITS } from "../../shared/protocol/limits.ts";
import { type Driver, INITIAL, member, PLAN, started } from "./step_fixture.ts";
import type { FleetMember } from "./state/fleet_view.ts";
import { stepStateOf } from "./state/announcement.ts";

const MB = 1e6;

/** A worker with the initial adapter, and what its link has shown. */
function linked(worker: string, linkBytesPerSecond: number | null): FleetMember {
  return { ...member(worker, { step: 0, digest: INITIAL }), linkBytesPerSecond };
}

const weightsOf = ({ training }: Driver) => stepStateOf(PLAN, training, LIMITS).weights;

Deno.test("weights are fixed with an attempt's members, by the link speeds known at that time", () => {
  const driver = started(["w-a", "w-b", "w-c"]);
  assertEquals(weightsOf(driver), [1, 1, 1]);

  driver.fleet(linked("w-a", 100 * MB), linked("w-b", 100 * MB), linked("w-c", 1 * MB));
  assertEquals(weightsOf(driver), [1, 1, 1]);

  driver.doStep();
  assertEquals([driver.training.step, weightsOf(driver)], [2, [16, 16, 0]]);
});

Deno.test("a change of members changes the weights", () => {
  const driver = started(["w-a", "w-b", "w-c", "w-d"]);
  const [a, b, c] = [linked("w-a", 100 * MB), linked("w-b", 100 * MB), linked("w-c", 1 * MB)];
  driver.fleet(a, b, c);
  assertEquals(weightsOf(driver), [16, 16, 0]);
  driver.fleet(a, c);
  assertEquals(weightsOf(driver), [1, 1]);
});
