import { assertEquals } from "@std/assert";
import type { WorkerQuarantine } from "./quarantines.ts";
import { createMemoryQuarantineStore, createQuarantines } from "./quarantines.ts";

const strikes: WorkerQuarantine = {
  ...{ worker: "w-a", reasons: ["slow", "slow"], since: 5, jobId: "ftjob-a", until: "jobEnds" },
};
const audit: WorkerQuarantine = { ...strikes, reasons: ["wrong"], since: 9, until: "reinstated" };

Deno.test("a quarantine for strikes ends with the job or the process, one for an audit with reinstatement", () => {
  const store = createMemoryQuarantineStore();
  const list = createQuarantines(store);
  list.add(strikes);
  list.add({ ...audit, worker: "w-b" });
  assertEquals([...list.workers()], ["w-a", "w-b"]);
  assertEquals([...createQuarantines(store).workers()], ["w-b"]);
  list.jobEnded("ftjob-other");
  assertEquals(list.of("w-a"), strikes);
  list.jobEnded("ftjob-a");
  assertEquals([list.of("w-a"), list.of("w-b")?.until], [null, "reinstated"]);
  assertEquals([list.lift("w-b"), list.lift("w-b")], [true, false]);
  assertEquals(createQuarantines(store).workers().size, 0);
});

Deno.test("reasons accumulate, and the longer quarantine counts", () => {
  const store = createMemoryQuarantineStore();
  const list = createQuarantines(store);
  list.add(strikes);
  list.add(audit);
  const both = { ...strikes, reasons: ["slow", "slow", "wrong"], until: "reinstated" as const };
  assertEquals([list.of("w-a"), store.quarantines()], [both, [both]]);
  list.add(strikes);
  assertEquals(list.of("w-a")?.until, "reinstated");
});
