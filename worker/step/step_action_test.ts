import { assertEquals } from "@std/assert";
import type { JobEnd, StepState } from "../../shared/protocol/messages_coordinator.ts";
import type { Committed } from "../../shared/protocol/messages_worker.ts";
import { FINGERPRINT_MARK } from "../../shared/protocol/state/state_digest.ts";
import {
  type Action,
  isOver,
  isRoundOver,
  mayLeave,
  nextAction,
  type OwnState,
  placeOf,
} from "./step_action.ts";

const self = { worker: "w-a", incarnation: "i-1" };
const commit = (step: number, digit = String(step)): Committed => ({ step, digest: digit.repeat(64) });

const state: StepState = {
  jobId: "ftjob-a",
  startId: "s-1",
  revision: 9,
  term: 1,
  step: 3,
  attempt: 1,
  generation: 7,
  phase: "compute",
  members: [self, { worker: "w-b", incarnation: "i-2" }],
  weights: [1, 1],
  holders: ["w-a", "w-b"],
  quarantined: [],
  committed: commit(2),
  microBatchCount: 4,
  exponents: [0, 0],
  assignments: [],
  ledger: [],
  labelCount: 0,
  learningRate: 0.1,
  checkSeed: 7,
  roundMs: 1000,
  checkpointWriter: null,
};

const own: OwnState = {
  self,
  committed: commit(2),
  attempt: null,
  pending: null,
  spentIn: null,
  checkpoint: null,
  failedEvaluation: null,
};
const attempt = { step: 3, attempt: 1, term: 1 };
const pending = commit(3);

const cases: [what: string, Action, Partial<StepState>, Partial<OwnState>][] = [
  ["a member computes", "compute", {}, {}],
  ["and goes on", "compute", {}, { attempt }],
  ["one that failed waits", "wait", {}, { attempt, spentIn: 7 }],
  ["until the members change", "compute", { generation: 8 }, { attempt, spentIn: 7 }],
  ["no member under this incarnation", "wait", { members: [{ worker: "w-a", incarnation: "i-0" }] }, {}],
  ["all are counted", "reduce", { phase: "reduce" }, { attempt }],
  ["a member without any micro-batch reduces, too", "reduce", { phase: "reduce" }, {}],
  ["the update is reported", "wait", { phase: "reduce" }, { attempt, pending, spentIn: 7 }],
  ["a member was lost during the round", "reduce", { phase: "reduce", generation: 8 }, {
    attempt,
    pending,
    spentIn: 7,
  }],
  ["the commit is on its way to the log", "wait", { phase: "commit" }, { attempt, pending, spentIn: 7 }],
  ["it is in the log", "commit", { step: 4, attempt: 0, phase: "waiting", committed: commit(3) }, {
    attempt,
    pending,
  }],
  ["also while the checkpoint is due", "commit", { phase: "checkpoint", committed: commit(3) }, {
    attempt,
    pending,
  }],
  ["also as the last one", "commit", { phase: "done", committed: commit(3) }, { attempt, pending }],
  ["a different digest was committed", "rollback", { step: 4, committed: commit(3, "f") }, {
    attempt,
    pending,
  }],
  ["a new attempt", "rollback", { attempt: 2 }, { attempt }],
  ["the attempt has failed", "rollback", { phase: "waiting" }, { attempt, pending }],
  ["the same numbers of a new coordinator's term", "rollback", { term: 2 }, { attempt }],
  ["behind, as a late joiner", "recover", { phase: "waiting" }, { committed: commit(0) }],
  ["behind while others compute", "recover", {}, { committed: commit(1) }],
  ["the right step with a different digest", "recover", {}, { committed: commit(2, "e") }],
  ["behind, without a holder", "wait", { holders: ["w-a"] }, { committed: commit(0) }],
  ["behind, and in quarantine", "wait", { quarantined: ["w-a"] }, { committed: commit(1) }],
  ["before the initial adapter is agreed on", "wait", { phase: "waiting", committed: null }, {}],
  ["it writes the adapter", "checkpoint", { phase: "checkpoint", checkpointWriter: "w-a" }, {}],
  ["it has written it", "wait", { phase: "checkpoint", checkpointWriter: "w-a" }, {
    checkpoint: { term: 1, generation: 7, step: 2 },
  }],
  ["who leads now has not heard that it has written it", "checkpoint", {
    ...{ term: 2, phase: "checkpoint", checkpointWriter: "w-a" },
  }, { checkpoint: { term: 1, generation: 7, step: 2 } }],
  ["a peer writes it", "wait", { phase: "checkpoint", checkpointWriter: "w-b" }, {}],
  ["who is behind recovers before it writes", "recover", { phase: "checkpoint", checkpointWriter: "w-a" }, {
    committed: commit(1),
  }],
  ["the job is done", "end", { phase: "done" }, { attempt }],
  ["the job has failed", "end", { phase: "failed" }, {}],
  ["the job was cancelled", "end", { phase: "cancelled" }, { attempt }],
];

for (const [what, action, stateChange, ownChange] of cases) {
  Deno.test(`${what}: ${action}`, () => {
    const decision = nextAction({ ...state, ...stateChange }, { ...own, ...ownChange });
    assertEquals(decision.action, action, decision.reason);
  });
}

Deno.test("the log names how the job ended, and at which step", () => {
  const reasonOf = (phase: JobEnd) => nextAction({ ...state, phase }, own).reason;
  assertEquals(reasonOf("done"), "job ftjob-a is done after step 2");
  assertEquals(reasonOf("failed"), "job ftjob-a has failed at step 3: its events explain why");
  assertEquals(reasonOf("cancelled"), "job ftjob-a was cancelled at step 3");
});

Deno.test("an attempt is over when a new one begins, or it is aborted", () => {
  assertEquals(isOver(attempt, state), false);
  assertEquals(isOver(attempt, { ...state, generation: 99 }), false);
  assertEquals(isOver(attempt, { ...state, phase: "commit" }), false);
  for (const change of [{ step: 4 }, { attempt: 2 }, { term: 2 }, { phase: "waiting" as const }]) {
    assertEquals(isOver(attempt, { ...state, ...change }), true, JSON.stringify(change));
  }
});

Deno.test("a round is over when its members are not all there any more", () => {
  const reduce: StepState = { ...state, phase: "reduce" };
  assertEquals(isRoundOver(reduce, reduce), false);
  assertEquals(isRoundOver(reduce, { ...reduce, phase: "commit" }), false);
  assertEquals(isRoundOver(reduce, { ...reduce, generation: 8 }), true);
  assertEquals(isRoundOver(reduce, { ...reduce, phase: "compute" }), true);
});

Deno.test("micro-batches by their place", () => {
  assertEquals(placeOf({ step: 3, attempt: 1 }, state), "current");
  assertEquals(placeOf({ step: 3, attempt: 1 }, { ...state, phase: "reduce" }), "older");
  assertEquals(placeOf({ step: 2, attempt: 5 }, state), "older");
  assertEquals(placeOf({ step: 3, attempt: 0 }, state), "older");
  assertEquals(placeOf({ step: 3, attempt: 2 }, state), "newer");
  assertEquals(placeOf({ step: 4, attempt: 1 }, state), "newer");
});

Deno.test("a worker may leave when it is dispensable", () => {
  const alone = { holders: [self.worker], members: [] };
  const fingerprint = { step: 2, digest: FINGERPRINT_MARK.padEnd(64, "2") };
  const unloadable = { phase: "waiting" as const, committed: fingerprint, holders: [] };
  const cases: [string, boolean, StepState | null, boolean, boolean, Partial<OwnState>?][] = [
    ["no state was heard", true, null, true, true],
    ["it is in the attempt", false, { ...state, phase: "reduce" }, true, false],
    ["it is in no attempt", true, { ...state, phase: "compute", members: [] }, true, false],
    ["an attempt has yet to begin", true, { ...state, phase: "waiting" }, true, false],
    [
      "it writes the adapter",
      false,
      { ...state, phase: "checkpoint", checkpointWriter: self.worker },
      true,
      false,
    ],
    ["a peer loads its state", false, { ...state, phase: "waiting" }, true, true],
    ["it alone has the state", false, { ...state, phase: "waiting", ...alone }, true, false],
    ["and there are no others", true, { ...state, phase: "waiting", ...alone }, false, false],
    ["nobody can load the state that it has", false, { ...state, ...unloadable }, true, false, {
      committed: fingerprint,
    }],
    ["or is about to have", false, { ...state, ...unloadable }, true, false, { pending: fingerprint }],
    ["it does not have that state", true, { ...state, ...unloadable }, true, false],
    ["there are no others to go on", true, { ...state, ...unloadable }, false, false, {
      committed: fingerprint,
    }],
    ["others go on from it, or nobody does", true, { ...state, ...unloadable, members: [] }, true, false, {
      committed: fingerprint,
    }],
    ["the job is done", true, { ...state, phase: "done" }, true, true],
    ["the job was cancelled", true, { ...state, phase: "cancelled" }, true, true],
  ];
  for (const [what, wanted, newest, hasOthers, isServing, change = {}] of cases) {
    assertEquals(mayLeave(newest, { ...own, ...change }, { hasOthers, isServing }), wanted, what);
  }
});
