import { assertEquals, assertRejects } from "@std/assert";
import { createFakeClock } from "../../../shared/testing/fake_clock.ts";
import { createMemoryBroker } from "../../../shared/testing/memory_bus.ts";
import { LoraFleetError } from "../../../shared/errors.ts";
import { type CommitEntry, NO_AUDITS } from "../../../shared/protocol/messages_coordinator.ts";
import { commitLogName, commitsSubject } from "../../../shared/protocol/subjects.ts";
import { appendCommit, readCommits, restoreCommitLog } from "./commit_log.ts";

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
  labelCount: 0,
  loss: null,
  gradientNorm: null,
  maxAbs: "",
  committedAt: 5,
};
async function createLog() {
  const clock = createFakeClock();
  const bus = createMemoryBroker({ clock }).connect("coordinator");
  await bus.ensureStream(commitLogName("ftjob-a"), commitsSubject("ftjob-a"));
  return bus;
}

Deno.test("commits come back in order", async () => {
  const bus = await createLog();
  assertEquals(await appendCommit(bus, ENTRY, 0), 1);
  assertEquals(await appendCommit(bus, { ...ENTRY, step: 1 }, 1), 2);
  const commits = await readCommits(bus, "ftjob-a");
  assertEquals(commits.map(({ sequence, entry }) => [sequence, entry.step]), [[1, 0], [2, 1]]);
});

Deno.test("after a lost answer the commit in the log is ours", async () => {
  const bus = await createLog();
  await appendCommit(bus, ENTRY, 0);
  assertEquals(await appendCommit(bus, ENTRY, 0), 1);
  assertEquals((await readCommits(bus, "ftjob-a")).length, 1);
});

Deno.test("a different coordinator's commit is a conflict", async () => {
  const bus = await createLog();
  await appendCommit(bus, { ...ENTRY, startId: "s-2" }, 0);
  const error = await assertRejects(() => appendCommit(bus, ENTRY, 0), LoraFleetError);
  assertEquals(error.code, "conflict");
});

Deno.test("a refusal although nobody has appended may be repeated: an earlier attempt is on its way", async () => {
  const bus = await createLog();
  await appendCommit(bus, ENTRY, 0);
  const refusing = {
    ...bus,
    readStream: (name: string) => bus.readStream(name),
    append: () => Promise.reject(new LoraFleetError("conflict", "wrong last sequence: 1")),
  };
  const second = { ...ENTRY, step: 1 };
  const error = await assertRejects(
    () => appendCommit(refusing, second, 1),
    LoraFleetError,
    "earlier attempt",
  );
  assertEquals(error.code, "timeout");
  assertEquals(await appendCommit(bus, second, 1), 2);
});

Deno.test("a lost log is restored with the newest commit, and the next one follows", async () => {
  const bus = await createLog();
  const [first, second] = [{ ...ENTRY, step: 1 }, { ...ENTRY, step: 2 }];
  await appendCommit(bus, ENTRY, 0);
  await appendCommit(bus, first, 1);
  await bus.deleteStream(commitLogName("ftjob-a"));
  await restoreCommitLog(bus, "ftjob-a", first);
  await restoreCommitLog(bus, "ftjob-a", first);
  assertEquals(await appendCommit(bus, second, 2, first), 2);
  assertEquals((await readCommits(bus, "ftjob-a")).map(({ entry }) => entry.step), [1, 2]);
  // A log of a different coordinator must not be continued.
  await bus.deleteStream(commitLogName("ftjob-a"));
  await restoreCommitLog(bus, "ftjob-a", { ...ENTRY, startId: "s-2" });
  const error = await assertRejects(() => appendCommit(bus, second, 2, first), LoraFleetError);
  assertEquals(error.code, "conflict");
});

Deno.test("a commit written before exclusions and audits existed has none", async () => {
  const bus = await createLog();
  const { excluded: _none, excludedTotal: _zero, audits: _audits, ...old } = ENTRY;
  await bus.append(commitsSubject("ftjob-a"), new TextEncoder().encode(JSON.stringify(old)), 0);
  assertEquals((await readCommits(bus, "ftjob-a"))[0]!.entry, ENTRY);
});
