import { assertEquals } from "@std/assert";
import type { Heartbeat } from "../../../shared/protocol/messages_worker.ts";
import { digestOf, INITIAL, member, PLAN } from "../step_fixture.ts";
import { isNews, loadFailureOfAll } from "./eligibility.ts";
import { newTraining, type Training } from "../state/training.ts";

const beat = (committed: Parameters<typeof member>[1], change: Partial<Heartbeat> = {}): Heartbeat => {
  const { draining, job, busy, linkBytesPerSecond, worker, incarnation } = member("w-a", committed);
  return {
    ...{ worker, incarnation, name: "pc", gpu: "toy", draining, maxGapMs: 1, microBatchesDone: 0 },
    ...{ tokensPerSecond: 0, gradientBytesSent: 0, job, linkBytesPerSecond },
    busy: busy === null ? null : { ...busy, sinceMs: 0 },
    ...change,
  };
};

const initial = { step: 0, digest: INITIAL };
const first = { step: 1, digest: digestOf("first") };
const training: Training = {
  ...newTraining({ generation: 1, members: [] }, 1, 0),
  committed: { ...first } as Training["committed"],
};
const holding: Training = { ...training, holders: new Set(["i-w-a"]) };

const CASES: [string, boolean, Training, Heartbeat | null, Heartbeat][] = [
  ["its first report", true, training, null, beat(null)],
  ["no change", false, training, beat(initial), beat(initial)],
  ["that it leaves soon", true, training, beat(initial), beat(initial, { draining: true })],
  ["that the job is loaded", true, training, beat(null), beat(initial)],
  ["that it has no job", true, training, beat(initial), beat(initial, { job: null })],
  ["that it has recovered the newest commit", true, training, beat(initial), beat(first)],
  ["no change after a recovery", true, training, beat(first), beat(first)],
  ["a commit that it is known to hold", false, holding, beat(initial), beat(first)],
  ["a commit that is not the newest", false, training, beat(first), beat(initial)],
  ["what it computes, how much it has done and how fast its link is", false, training, beat(initial), {
    ...beat(initial, { microBatchesDone: 5, linkBytesPerSecond: 1e6, maxGapMs: 50, gradientBytesSent: 7 }),
    busy: { step: 2, attempt: 1, index: 0, sinceMs: 3 },
  }],
];

for (const [what, wanted, training, before, now] of CASES) {
  Deno.test(`a heartbeat with ${what} ${wanted ? "is urgent" : "can wait"}`, () => {
    assertEquals(isNews(PLAN, training, before, now), wanted);
  });
}

Deno.test("a job that no worker can load fails, unless a full disk is the reason: there may be space or a different worker later", () => {
  const failing = (worker: string, code: "storage" | "does_not_fit") => ({
    ...member(worker, null),
    job: {
      phase: "failed",
      jobId: PLAN.jobId,
      startId: PLAN.startId,
      code,
      message: code,
      param: null,
    } as const,
  });
  const failureOf = (...members: Training["fleet"]["members"]) =>
    loadFailureOfAll(PLAN, { ...training, fleet: { generation: 1, members } })?.code ?? null;
  assertEquals(failureOf(failing("w-a", "does_not_fit")), "does_not_fit");
  assertEquals(failureOf(failing("w-a", "storage")), null);
  assertEquals(failureOf(failing("w-a", "does_not_fit"), failing("w-b", "storage")), null);
  assertEquals(failureOf(failing("w-a", "does_not_fit"), member("w-b", null)), null);
});
