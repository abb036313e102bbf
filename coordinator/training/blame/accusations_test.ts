import { assert, assertEquals, assertMatch } from "@std/assert";
import { LIMITS } from "../../../shared/protocol/limits.ts";
import { accusationsOf } from "./accusations.ts";
import { type Driver, started, summarize } from "../step_fixture.ts";

const strikes = ({ training }: Driver) => [...training.strikes].map(([worker, all]) => [worker, all.length]);

/** Step 2, in its first attempt. */
function running(...names: string[]): Driver {
  const driver = started(names);
  driver.doStep();
  driver.drain();
  return driver;
}

Deno.test("one accuser alone costs the accused nothing, however often it repeats itself", () => {
  const driver = running("w-a", "w-b", "w-c", "w-d");
  driver.failure("w-a", ["w-b"]);
  driver.failure("w-a", ["w-b"], { attempt: 1 });
  assertEquals([driver.training.attempt, strikes(driver)], [2, []]);
  assertEquals([...accusationsOf(driver.training.accusations)], [
    ["w-a", ["accuses w-b in attempt 1 of step 2: chunks are missing"]],
    ["w-b", ["is accused by w-a in attempt 1 of step 2: chunks are missing"]],
  ]);
});

Deno.test("two accusers of one worker are a strike, even if the second one reports after the attempt", () => {
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

Deno.test("a worker that alone accuses all others is quarantined itself, and the accused stay", () => {
  const driver = running("w-a", "w-b", "w-c");
  for (let time = 0; time <= LIMITS.strikesUntilDropped; time++) driver.failure("w-a", ["w-b", "w-c"]);
  assertEquals(driver.training.members.map(({ worker }) => worker), ["w-b", "w-c"]);
  assertEquals([...driver.training.quarantined], ["w-a"]);
  assertMatch(driver.training.strikes.get("w-a")![0]!, /it alone accuses w-b, w-c/);
  assertEquals(driver.training.strikes.size, 1);
});

Deno.test("a lone accusation separates the two: neither owns anything, the step goes on, the second one is a strike", () => {
  const driver = running("w-a", "w-b", "w-c", "w-d");
  assertEquals(driver.training.weights, [1, 1, 1, 1]);
  driver.failure("w-a", ["w-b"]);
  assertEquals(driver.training.weights, [0, 0, 1, 1]);
  assert(
    summarize(driver.drain()).some((line) =>
      /The reports of w-a and w-b contradict each other: until/.test(line)
    ),
  );
  driver.failure("w-a", ["w-c"]);
  assertEquals(driver.training.weights, [0, 0, 0, 1]);
  driver.doStep();
  assertEquals(strikes(driver), [["w-a", 1]]);
});

Deno.test("accusing a worker that owes nothing is a strike at once: the accuser cannot have waited for it", () => {
  const driver = running("w-a", "w-b", "w-c");
  driver.failure("w-a", ["w-b"]);
  driver.failure("w-a", ["w-b"]);
  assertEquals(strikes(driver), [["w-a", 1]]);
  assertMatch(driver.training.strikes.get("w-a")![0]!, /it accuses w-b, from whom nothing was due to it/);
});

Deno.test("two members: neither gets a strike, both are named, and the attempt is repeated", () => {
  const driver = running("w-a", "w-b");
  for (let time = 0; time < 5; time++) {
    driver.failure(time % 2 === 0 ? "w-a" : "w-b", [time % 2 === 0 ? "w-b" : "w-a"]);
  }
  assertEquals([driver.training.attempt, strikes(driver), driver.training.weights], [6, [], [1, 1]]);
  const unresolved = summarize(driver.drain()).filter((line) =>
    /contradict each other. With two members/.test(line)
  );
  assertEquals(unresolved.length, 5);
});

Deno.test("a worker that accuses itself is believed", () => {
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

Deno.test("only members can accuse and be accused", () => {
  const driver = running("w-a", "w-b", "w-c");
  driver.failure("w-z", ["w-b"]);
  driver.failure("w-a", ["w-z"]);
  assertEquals([driver.training.accusations, strikes(driver)], [[], []]);
});
