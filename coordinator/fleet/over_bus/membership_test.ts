import { assert, assertEquals } from "@std/assert";
import { LIMITS } from "../../../shared/protocol/limits.ts";
import { type Heartbeat, PROTOCOL_VERSION } from "../../../shared/protocol/messages_worker.ts";
import { decideMembership, type Membership, type MembershipEvent, NO_MEMBERS } from "./membership.ts";

const limits = { ...LIMITS, heartbeatIntervalMs: 100, lostAfterMissedHeartbeats: 10 };

const hello = (worker: string, incarnation = `i-${worker}`, protocolVersion = PROTOCOL_VERSION) => ({
  type: "hello" as const,
  hello: { worker, incarnation, protocolVersion, name: `the ${worker}`, gpu: "toy" },
});

const heartbeat = (worker: string, incarnation = `i-${worker}`): MembershipEvent => {
  const heartbeat: Heartbeat = {
    worker,
    incarnation,
    name: worker,
    gpu: "a GPU",
    draining: false,
    maxGapMs: 12,
    microBatchesDone: 0,
    tokensPerSecond: 0,
    gradientBytesSent: 0,
    linkBytesPerSecond: null,
    job: null,
    busy: null,
  };
  return { type: "heartbeat", heartbeat };
};

function after(...events: [MembershipEvent, number][]): Membership {
  return events.reduce(
    (state, [event, now]) => decideMembership(state, event, now, limits).state,
    NO_MEMBERS,
  );
}

const ids = (state: Membership) => state.members.map(({ worker }) => worker);

Deno.test("members are sorted by id and the generation grows with each of them", () => {
  const state = after([hello("c"), 0], [hello("a"), 1], [hello("b"), 2]);
  assertEquals([ids(state), state.generation], [["a", "b", "c"], 3]);
});

Deno.test("a repeated hello changes nothing", () => {
  const state = after([hello("a"), 0]);
  const again = decideMembership(state, hello("a"), 5, limits);
  assertEquals([again.state, again.effects, again.reason], [state, [], "a says hello again"]);
});

Deno.test("a new incarnation is a loss and a join", () => {
  const state = after([hello("a"), 0], [hello("b"), 0]);
  const decision = decideMembership(state, hello("a", "i-second"), 7, limits);
  assertEquals(decision.effects.map(({ type }) => type), ["lost", "joined"]);
  assertEquals(decision.reason, "a has joined again: what its incarnation i-a was doing is lost");
  assertEquals(ids(decision.state), ["a", "b"]);
  assert(decision.state.generation > state.generation);
});

Deno.test("silence during a blackout loses no worker; silence after it counts", () => {
  const silent = after([hello("a"), 0], [{ type: "blackout", milliseconds: 5000 }, 5000]);
  assertEquals(ids(decideMembership(silent, { type: "tick" }, 5999, limits).state), ["a"]);
  assertEquals(ids(decideMembership(silent, { type: "tick" }, 6000, limits).state), []);
  const heard = decideMembership(silent, heartbeat("a"), 5500, limits).state;
  assertEquals(ids(decideMembership(heard, { type: "tick" }, 6499, limits).state), ["a"]);
  assertEquals(ids(decideMembership(heard, { type: "tick" }, 6500, limits).state), []);
});

Deno.test("an incarnation that has left is refused", () => {
  const state = after([hello("a"), 0], [
    { type: "leave", worker: "a", incarnation: "i-a", reason: "drained" },
    1,
  ]);
  assertEquals(ids(state), []);
  const decision = decideMembership(state, hello("a"), 2, limits);
  assertEquals(decision.effects, [{
    type: "refused",
    reason: "incarnation i-a of a has left: a new one is needed",
  }]);
  assertEquals(ids(decision.state), []);
});

Deno.test("a different protocol version is refused", () => {
  const { effects, state } = decideMembership(NO_MEMBERS, hello("a", "i-a", 99), 0, limits);
  assertEquals(effects.map(({ type }) => type), ["refused"]);
  assertEquals(state, NO_MEMBERS);
});

Deno.test("a worker that is silent for too long is lost; one that is heard in time stays", () => {
  const state = after([hello("a"), 0], [hello("b"), 0], [heartbeat("b"), 400]);
  const early = decideMembership(state, { type: "tick" }, 999, limits);
  assertEquals([early.state, early.reason], [state, "all members were heard in time"]);
  const late = decideMembership(state, { type: "tick" }, 1000, limits);
  assertEquals([ids(late.state), late.reason], [["b"], "a is gone: no heartbeat for 1.0 s"]);
  assertEquals(late.state.generation, state.generation + 1);
  assertEquals(late.state.departed.map(({ worker, reason }) => [worker, reason]), [[
    "a",
    "no heartbeat for 1.0 s",
  ]]);
});

Deno.test("a worker heard when the coordinator wakes was not silent while it slept", () => {
  // Messages that waited in the socket are handled before the blackout is measured.
  const state = after([hello("a"), 0], [heartbeat("a"), 60_000], [
    { type: "blackout", milliseconds: 59_900 },
    60_000,
  ]);
  assertEquals(decideMembership(state, { type: "tick" }, 60_999, limits).effects, []);
  assertEquals(decideMembership(state, { type: "tick" }, 61_000, limits).effects.map(({ type }) => type), [
    "lost",
  ]);
});

Deno.test("a heartbeat of an incarnation that is no member is ignored", () => {
  const state = after([hello("a"), 0]);
  const decision = decideMembership(state, heartbeat("a", "i-old"), 5, limits);
  assertEquals([decision.state, decision.effects], [state, []]);
  assertEquals(decision.reason, "a is no member under this incarnation");
});

Deno.test("a heartbeat updates the GPU and keeps the generation", () => {
  const state = after([hello("a"), 0], [heartbeat("a"), 50]);
  assertEquals([state.generation, state.members[0]!.gpu, state.members[0]!.lastHeartbeatAt], [
    1,
    "a GPU",
    50,
  ]);
});

Deno.test("leaving is immediate, and leaving twice changes nothing", () => {
  const leave: MembershipEvent = { type: "leave", worker: "a", incarnation: "i-a", reason: "drained" };
  const first = decideMembership(after([hello("a"), 0]), leave, 1, limits);
  assertEquals(first.effects.map(({ type }) => type), ["lost"]);
  assertEquals(first.reason, "a is gone: drained");
  assertEquals(decideMembership(first.state, leave, 2, limits).reason, "a leaves, but is no member");
});

Deno.test("only the newest departed members are kept", () => {
  let state = NO_MEMBERS;
  for (let i = 0; i < 130; i++) {
    state = decideMembership(state, hello("a", `i-${i}`), i, limits).state;
  }
  assertEquals([state.departed.length, state.departed.at(-1)!.incarnation], [100, "i-128"]);
});
