import { assertEquals, assertLess, assertRejects } from "@std/assert";
import type { Bus } from "../../shared/bus/bus.ts";
import { createFakeClock } from "../../shared/testing/fake_clock.ts";
import { createMemoryBroker } from "../../shared/testing/memory_bus.ts";
import { LoraFleetError } from "../../shared/errors.ts";
import { LIMITS, recoverWaitMs } from "../../shared/protocol/limits.ts";
import { encodeMessage } from "../../shared/protocol/messages_codec.ts";
import { type Committed, recoverRequestSchema } from "../../shared/protocol/messages_worker.ts";
import { pcg32 } from "../../shared/prng.ts";
import { recoverSubject } from "../../shared/protocol/subjects.ts";
import { drive, faultyBus } from "../allreduce/all_reduce_fixture.ts";
import type { TrainingState } from "../optimizer/adamw_state.ts";
import { fetchState } from "./fetch_state.ts";
import { serveState } from "./serve_state.ts";
import { decodeStateFrame, maxPieceWords } from "../../shared/protocol/state/state_frame.ts";

const START = { jobId: "ftjob-a", startId: "s-1" };
const COMMITTED: Committed = { step: 3, digest: "3".repeat(64) };
const ELEMENTS = 1000;

function stateOf(seed: number): TrainingState {
  const prng = pcg32(seed);
  const part = () => Float32Array.from({ length: ELEMENTS }, () => prng.normal());
  return { updateCount: 3, adapter: part(), firstMoment: part(), secondMoment: part() };
}

function worldOf(options: { wrap?: (bus: Bus) => Bus } = {}) {
  const clock = createFakeClock();
  const broker = createMemoryBroker({ clock, maxPayloadBytes: 2048 });
  const state = stateOf(1);
  const holder = { committed: COMMITTED as Committed | null, exports: 0, delayMs: 0 };
  const server = serveState({
    bus: (options.wrap ?? ((bus) => bus))(broker.connect("holder")),
    ...{ clock, limits: LIMITS, log: () => {} },
    ...START,
    self: "w-h",
    elementCount: ELEMENTS,
    exportState: async () => {
      holder.exports++;
      if (holder.delayMs > 0) await clock.sleep(holder.delayMs);
      return state;
    },
    committed: () => holder.committed,
  });
  const bus = broker.connect("joiner");
  const stop = new AbortController();
  const fetch = (change: Partial<Parameters<typeof fetchState>[0]> = {}) =>
    fetchState({
      ...{ bus, clock, limits: LIMITS, log: () => {}, ...START, elementCount: ELEMENTS },
      ...{ committed: COMMITTED, holder: "w-h", signal: stop.signal, ...change },
    });
  return { clock, state, holder, server, bus, stop, fetch };
}

Deno.test("a state arrives bit for bit, from one copy of it", async () => {
  const world = worldOf();
  const fetched = await world.fetch();
  assertEquals(fetched, world.state);
  await world.fetch();
  assertEquals(world.holder.exports, 1);
});

Deno.test("the copy is dropped when no request comes for a while, and at a new commit", async () => {
  const { fetch, clock, server, holder } = worldOf();
  assertEquals(server.isServing, false);
  await fetch();
  assertEquals(server.isServing, true);
  await clock.advance(10_000);
  assertEquals(server.isServing, false);
  await fetch();
  holder.committed = { step: 4, digest: "4".repeat(64) };
  await fetch({ committed: holder.committed });
  assertEquals(holder.exports, 3);
});

Deno.test("lost and altered messages are requested again", async () => {
  const clock = createFakeClock();
  const broker = createMemoryBroker({ clock, maxPayloadBytes: 2048 });
  const state = stateOf(2);
  const random = pcg32(5);
  const server = broker.connect("holder");
  const real = serveState({
    bus: {
      ...server,
      subscribe: (subject, handler) =>
        server.subscribe(subject, (message) =>
          handler({
            ...message,
            respond: (data) => {
              const fate = random.below(4);
              if (fate === 0) return;
              const changed = data.slice();
              if (fate === 1) changed[random.below(changed.length)]! ^= 4;
              message.respond(changed);
            },
          })),
    },
    ...{ clock, limits: LIMITS, log: () => {} },
    ...START,
    self: "w-h",
    elementCount: ELEMENTS,
    exportState: () => Promise.resolve(state),
    committed: () => COMMITTED,
  });
  const fetching = fetchState({
    ...{ bus: faultyBus(broker.connect("joiner"), { drop: 0, duplicate: 0.3, corrupt: 0, reorder: 0 }, 7) },
    ...{
      clock,
      limits: LIMITS,
      log: () => {},
      ...START,
      elementCount: ELEMENTS,
      committed: COMMITTED,
      holder: "w-h",
    },
    signal: new AbortController().signal,
  });
  assertEquals(await drive(clock, fetching), state);
  real.close();
});

Deno.test("a holder that has moved on, or does not know its commit yet, refuses", async () => {
  const { fetch, holder } = worldOf();
  for (
    const committed of [{ step: 4, digest: COMMITTED.digest }, { ...COMMITTED, digest: "f".repeat(64) }, null]
  ) {
    holder.committed = committed;
    const error = await assertRejects(() => fetch(), LoraFleetError, "no longer holds that commit");
    assertEquals(error.code, "conflict");
  }
  assertEquals(holder.exports, 0);
});

Deno.test("a request out of range, or for too much at once, gets nothing", async () => {
  const { bus, holder } = worldOf();
  const ask = async (offset: number, count: number, startId = "s-1") => {
    const request = encodeMessage(recoverRequestSchema, { startId, committed: COMMITTED, offset, count });
    const bytes = await bus.request(recoverSubject("ftjob-a", "w-h"), request, 1000);
    return decodeStateFrame(START, 3, offset, bytes).length;
  };
  assertEquals(await ask(2990, 10), 10);
  assertEquals(await ask(2990, 11), 0);
  assertEquals(await ask(0, maxPieceWords(2048) + 1), 0);
  assertEquals(await ask(0, 1, "s-0"), 0);
  assertEquals(holder.exports, 1);
});

Deno.test("a lost holder costs the deadline and no more", async () => {
  const { fetch, clock, server } = worldOf();
  server.close();
  const startedAt = clock.now();
  const fetching = fetch();
  const check = assertRejects(
    () => fetching,
    LoraFleetError,
    `loading the state of step 3 from "w-h" took longer`,
  );
  const deadlineMs = recoverWaitMs(4 * ELEMENTS, LIMITS);
  await clock.advance(deadlineMs + 1);
  await check;
  assertLess(clock.now() - startedAt, deadlineMs + 10);
});

Deno.test("fetching ends when the fleet moves on", async () => {
  const { fetch, stop, holder, clock } = worldOf();
  holder.delayMs = 5000;
  const fetching = fetch();
  const check = assertRejects(() => fetching, Error, "moved on");
  await clock.advance(100);
  stop.abort(new Error("moved on"));
  await check;
});

Deno.test("a busy holder may answer late", async () => {
  const { fetch, state, holder, clock } = worldOf();
  holder.delayMs = 7000;
  assertEquals(await drive(clock, fetch()), state);
  assertEquals(holder.exports, 1);
});
