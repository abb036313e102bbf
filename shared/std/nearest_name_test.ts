import { assertEquals } from "@std/assert";
import { nearestName } from "./nearest_name.ts";

Deno.test("the nearest name, or none if all differ too much", () => {
  const names = ["learning_rate", "weight_decay", "r", "seed"];
  assertEquals(nearestName("learnin_rate", names), "learning_rate");
  assertEquals(nearestName("WEIGHT_DECAY", names), "weight_decay");
  assertEquals(nearestName("wd", names), null);
  assertEquals(nearestName("sead", names), "seed");
  assertEquals(nearestName("x".repeat(100_000), names), null);
  assertEquals(nearestName("anything", []), null);
});
