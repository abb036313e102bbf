import { assertEquals, assertRejects } from "@std/assert";
import type { Bus } from "../shared/bus/bus.ts";
import { createFakeClock } from "../shared/bus/fake_clock.ts";
import { createMemoryBroker } from "../shared/bus/memory_bus.ts";
import { LoraFleetError } from "../shared/errors.ts";
import { type CommitEntry, NO_AUDITS } from "../shared/messages.ts";
import { commitLogName, commitsSubject } from "../shared/subjects.ts";
import { appendCommit, readCommits } from "./commit_log.ts";

const ENTRY: CommitEntry = {
  ...{ excluded: [], excludedTotal: 0, audits: NO_AUDITS },
  jobId: "ftjob-a",
  startId: "s-1",
  specHash: "spec",
  step: 0,
  attempt: 0,
  generation: 1,
  digest: "0".repeat(64),
  members: ["w-a"],
  targetCount: 0,
  loss: null,
  gradientNorm: null,
  maxAbs: "",
  committedAt: 5,
};
const never = () => false;

async function createLog() {
  const clock = createFakeClock();
  const bus = createMemoryBroker({ clock }).connect("coordinator");
  await bus.ensureLog(commitLogName("ftjob-a"), commitsSubject("ftjob-a"));
  return { clock, bus };
}

Deno.test("commits come back in order", async () => {
  const { bus, clock } = await createLog();
  assertEquals(await appendCommit(bus, clock, ENTRY, 0, never), 1);
  assertEquals(await appendCommit(bus, clock, { ...ENTRY, step: 1 }, 1, never), 2);
  const commits = await readCommits(bus, "ftjob-a");
  assertEquals(commits.map(({ sequence, entry }) => [sequence, entry.step]), [[1, 0], [2, 1]]);
});

Deno.test("an answer that got lost: the commit that is there already is ours", async () => {
  const { bus, clock } = await createLog();
  await appendCommit(bus, clock, ENTRY, 0, never);
  assertEquals(await appendCommit(bus, clock, ENTRY, 0, never), 1);
  assertEquals((await readCommits(bus, "ftjob-a")).length, 1);
});

Deno.test("somebody else's commit is a conflict", async () => {
  const { bus, clock } = await createLog();
  await appendCommit(bus, clock, { ...ENTRY, startId: "s-2" }, 0, never);
  const error = await assertRejects(() => appendCommit(bus, clock, ENTRY, 0, never), LoraFleetError);
  assertEquals(error.code, "conflict");
});

Deno.test("a broker that does not answer is waited for, until nobody waits for the commit", async () => {
  const { bus, clock } = await createLog();
  let failures = 3;
  const flaky: Bus = {
    ...bus,
    append: (subject, data, last) =>
      failures-- > 0
        ? Promise.reject(new LoraFleetError("timeout", "no answer"))
        : bus.append(subject, data, last),
  };
  const appended = appendCommit(flaky, clock, ENTRY, 0, never);
  await clock.advance(5000);
  assertEquals(await appended, 1);
  let isOver = false;
  failures = Infinity;
  const given = appendCommit(flaky, clock, { ...ENTRY, step: 1 }, 1, () => isOver);
  await clock.advance(5000);
  isOver = true;
  await clock.advance(5000);
  assertEquals(await given, null);
});

Deno.test("a commit of before there were exclusions and audits is one without any", async () => {
  const { bus } = await createLog();
  const { excluded: _none, excludedTotal: _zero, audits: _audits, ...old } = ENTRY;
  await bus.append(commitsSubject("ftjob-a"), new TextEncoder().encode(JSON.stringify(old)), 0);
  assertEquals((await readCommits(bus, "ftjob-a"))[0]!.entry, ENTRY);
});
