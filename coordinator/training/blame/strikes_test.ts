import { assertEquals } from "@std/assert";
import { LIMITS } from "../../../shared/protocol/limits.ts";
import { blame, quarantine, reinstated, withStrikes } from "./strikes.ts";
import { member, summarize } from "../step_fixture.ts";
import { newTraining, type Training } from "../state/training.ts";

const here = (...workers: string[]): Training =>
  newTraining({ generation: 1, members: workers.map((worker) => member(worker, null)) }, 1, 0);
const present = ({ fleet }: Training) => fleet.members.map(({ worker }) => worker);

Deno.test("strikes keep their reasons; the third one is quarantine for the job, with one event", () => {
  let training = here("w-a", "w-b");
  for (const why of ["slow", "slower"]) {
    const blamed = blame(training, ["w-a", "w-a"], why, LIMITS);
    assertEquals([blamed.effects, present(blamed.training)], [[], ["w-a", "w-b"]]);
    training = blamed.training;
  }
  const third = blame(training, ["w-a", "w-b"], "gone", LIMITS);
  assertEquals([...third.training.strikes], [["w-a", ["slow", "slower", "gone"]], ["w-b", ["gone"]]]);
  assertEquals(present(third.training), ["w-b"]);
  assertEquals(summarize(third.effects), [
    "error: w-a takes no further part in the job: it was to blame 3 times: slow; slower; gone.",
    "quarantine",
  ]);
  const fourth = blame(third.training, ["w-a"], "again", LIMITS);
  assertEquals(fourth.effects, []);
});

Deno.test("strikes without blame quarantine no worker, but count with the next one that does", () => {
  let training = here("w-a");
  for (let time = 0; time < 5; time++) training = withStrikes(training, ["w-a"], "disk full");
  assertEquals(present(training), ["w-a"]);
  assertEquals(present(blame(training, ["w-a"], "no GPU", LIMITS).training), []);
});

Deno.test("a reinstated worker has no strikes and may come back", () => {
  const { training } = quarantine(here("w-a", "w-b"), "w-a", ["wrong"], "reinstated");
  assertEquals([present(training), [...training.quarantined]], [["w-b"], ["w-a"]]);
  const back = reinstated(withStrikes(training, ["w-a"], "x"), "w-a");
  assertEquals([back.quarantined.size, back.strikes.size], [0, 0]);
});
