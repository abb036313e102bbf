import { assertEquals } from "@std/assert";
import { decide, type PodSituation, type Situation } from "./decide.ts";

const MINUTE = 60_000;
const pod = (name: string, change: Partial<PodSituation> = {}): PodSituation => ({
  ...{ name, state: "running", createdAt: 0, leaseEndsAt: null },
  ...change,
});
const situation = (change: Partial<Situation>): Situation => ({
  ...{
    now: 60 * MINUTE,
    jobStatus: "running",
    silentMs: 0,
    pods: [],
    count: 2,
    affordableCount: 2,
    shortLivedCount: 0,
  },
  ...change,
});

Deno.test("what is missing is rented, as far as the budget pays", () => {
  assertEquals(decide(situation({})).createCount, 2);
  assertEquals(decide(situation({ pods: [pod("a")] })).createCount, 1);
  assertEquals(decide(situation({ affordableCount: 1 })).createCount, 1);
  assertEquals(decide(situation({ pods: [pod("a"), pod("b"), pod("c")] })).createCount, 0);
});

Deno.test("pods that do no work are removed and replaced, each with its reason", () => {
  const pods = [
    pod("evicted", { state: "ended" }),
    pod("spent", { leaseEndsAt: 62 * MINUTE }),
    pod("stuck", { state: "starting", createdAt: 40 * MINUTE }),
    pod("young", { state: "starting", createdAt: 41 * MINUTE }),
    pod("well", { leaseEndsAt: 64 * MINUTE }),
  ];
  assertEquals(decide(situation({ pods, count: 3 })), {
    remove: [
      { name: "evicted", reason: "RunPod has stopped it" },
      { name: "spent", reason: "its part of the budget is used up" },
      { name: "stuck", reason: "it has not started in 20 min" },
    ],
    createCount: 0,
    finish: null,
  }, "what they leave of the budget is not known yet");
  assertEquals(decide(situation({ pods: [pods[3]!, pods[4]!], count: 3 })).createCount, 1);
});

Deno.test("only a job that needs GPUs gets pods; those that are there stay", () => {
  for (const jobStatus of ["validating_files", "paused", null]) {
    const decision = decide(situation({ jobStatus, pods: [pod("a")] }));
    assertEquals([decision.createCount, decision.remove, decision.finish], [0, [], null], `${jobStatus}`);
  }
  assertEquals(decide(situation({ jobStatus: "queued" })).createCount, 2);
});

Deno.test("it ends with the job, with the budget, or when nothing works", () => {
  const cases: [Partial<Situation>, string, string][] = [
    [{ jobStatus: "succeeded" }, "done", "the job has succeeded"],
    [{ jobStatus: "failed" }, "failed", "the job has failed"],
    [{ jobStatus: "cancelled" }, "failed", "the job was cancelled"],
    [{ jobStatus: null, silentMs: 15 * MINUTE }, "broken", "the coordinator has not answered for 15 min"],
    [{ shortLivedCount: 4 }, "broken", "4 pods have ended within 10 min of their start"],
    [{ affordableCount: 0 }, "budget", "the budget pays for no further pod"],
  ];
  for (const [change, outcome, reason] of cases) {
    assertEquals(decide(situation(change)).finish as unknown, { outcome, reason });
  }
  assertEquals(decide(situation({ jobStatus: null, silentMs: 15 * MINUTE - 1 })).finish, null);
  assertEquals(decide(situation({ affordableCount: 0, pods: [pod("a")] })).finish, null);
  assertEquals(decide(situation({ shortLivedCount: 7, count: 4 })).finish, null);
});
