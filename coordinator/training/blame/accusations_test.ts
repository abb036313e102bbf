import { assert, assertEquals, assertMatch } from "@std/assert";
import { LIMITS } from "../../../shared/protocol/limits.ts";
import { accusationsOf } from "./accusations.ts";
import { type Driver, started, words } from "../step_fixture.ts";

const strikes = ({ training }: Driver) => [...training.strikes].map(([worker, all]) => [worker, all.length]);

/** Step 2, in its first attempt. */
function running(...names: string[]): Driver {
  const driver = started(names);
  driver.doStep();
  driver.drain();
  return driver;
}

Deno.test("one accuser costs nobody anything, however often it says the same", () => {
  const driver = running("w-a", "w-b", "w-c", "w-d");
  driver.failure("w-a", ["w-b"]);
  driver.failure("w-a", ["w-b"], { attempt: 1 });
  assertEquals([driver.training.attempt, strikes(driver)], [2, []]);
  assertEquals([...accusationsOf(driver.training.accusations)], [
    ["w-a", ["accuses w-b in attempt 1 of step 2: chunks are missing"]],
    ["w-b", ["is accused by w-a in attempt 1 of step 2: chunks are missing"]],
  ]);
});

Deno.test("two accusers of one worker are a strike, also where the second one speaks when the attempt is given up", () => {
  const driver = running("w-a", "w-b", "w-c");
  driver.failure("w-a", ["w-b"]);
  driver.failure("w-c", ["w-b"], { attempt: 1 });
  assertEquals([driver.training.attempt, strikes(driver)], [2, [["w-b", 1]]]);
  assertEquals(driver.training.strikes.get("w-b"), ["step 2: w-a and w-c accuse it: chunks are missing"]);
  // Used up: the next strike needs two again.
  driver.failure("w-c", ["w-b"]);
  assertEquals(strikes(driver), [["w-b", 1]]);
  driver.failure("w-a", ["w-b"]);
  assertEquals([strikes(driver), driver.training.disputes], [[["w-b", 2]], []]);
});

Deno.test("who accuses everybody alone is thrown out itself, and the accused stay", () => {
  const driver = running("w-a", "w-b", "w-c");
  for (let time = 0; time <= LIMITS.strikesUntilDropped; time++) driver.failure("w-a", ["w-b", "w-c"]);
  assertEquals(driver.training.members.map(({ worker }) => worker), ["w-b", "w-c"]);
  assertEquals([...driver.training.quarantined], ["w-a"]);
  assertMatch(driver.training.strikes.get("w-a")![0]!, /it alone accuses w-b, w-c, and nobody else does/);
  assertEquals(driver.training.strikes.size, 1);
});

Deno.test("a lone accusation of one is kept apart: neither owns anything, the step goes on, the second one is a strike", () => {
  const driver = running("w-a", "w-b", "w-c", "w-d");
  assertEquals(driver.training.weights, [1, 1, 1, 1]);
  driver.failure("w-a", ["w-b"]);
  assertEquals(driver.training.weights, [0, 0, 1, 1]);
  assert(words(driver.drain()).some((line) => /The word of w-a stands against that of w-b/.test(line)));
  driver.failure("w-a", ["w-c"]);
  assertEquals(driver.training.weights, [0, 0, 0, 1]);
  driver.doStep();
  assertEquals(strikes(driver), [["w-a", 1]]);
});

Deno.test("who accuses one that owes it nothing cannot have waited for it: a strike at once", () => {
  const driver = running("w-a", "w-b", "w-c");
  driver.failure("w-a", ["w-b"]);
  driver.failure("w-a", ["w-b"]);
  assertEquals(strikes(driver), [["w-a", 1]]);
  assertMatch(driver.training.strikes.get("w-a")![0]!, /it accuses w-b, from whom nothing was due to it/);
});

Deno.test("of two members neither gets a strike, both are named, and the attempt is done again", () => {
  const driver = running("w-a", "w-b");
  for (let time = 0; time < 5; time++) {
    driver.failure(time % 2 === 0 ? "w-a" : "w-b", [time % 2 === 0 ? "w-b" : "w-a"]);
  }
  assertEquals([driver.training.attempt, strikes(driver), driver.training.weights], [6, [], [1, 1]]);
  const unresolved = words(driver.drain()).filter((line) =>
    /contradict each other, and nobody else is there/.test(line)
  );
  assertEquals(unresolved.length, 5);
});

Deno.test("who says that it has failed itself is believed", () => {
  const driver = running("w-a", "w-b", "w-c");
  driver.failure("w-a", ["w-a", "w-b"], { reason: "the GPU is gone" });
  assertEquals(driver.training.strikes.get("w-a"), ["step 2: w-a: the GPU is gone"]);
  assertEquals(strikes(driver), [["w-a", 1]]);
});

Deno.test("accusations confirm each other within a few steps only, and not by workers in quarantine", () => {
  const driver = running("w-a", "w-b", "w-c");
  driver.failure("w-a", ["w-b"]);
  driver.training = { ...driver.training, step: 2 + LIMITS.accusationWindowSteps };
  driver.failure("w-c", ["w-b"]);
  assertEquals(strikes(driver), []);
  const other = running("w-a", "w-b", "w-c", "w-d");
  for (let time = 0; time <= LIMITS.strikesUntilDropped; time++) other.failure("w-a", ["w-b", "w-c", "w-d"]);
  other.failure("w-c", ["w-b"]);
  assertEquals(strikes(other), [["w-a", LIMITS.strikesUntilDropped]]);
});

Deno.test("somebody who is no member accuses nobody, and nobody is accused who is none", () => {
  const driver = running("w-a", "w-b", "w-c");
  driver.failure("w-z", ["w-b"]);
  driver.failure("w-a", ["w-z"]);
  assertEquals([driver.training.accusations, strikes(driver)], [[], []]);
});
