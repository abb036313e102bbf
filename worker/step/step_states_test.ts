import { assertEquals, assertMatch, assertRejects } from "@std/assert";
import { createFakeClock } from "../../shared/testing/fake_clock.ts";
import { createMemoryBroker } from "../../shared/testing/memory_bus.ts";
import { LoraFleetError } from "../../shared/errors.ts";
import { encodeMessage } from "../../shared/protocol/messages_codec.ts";
import { type StepState, stepStateSchema } from "../../shared/protocol/messages_coordinator.ts";
import { listenToStates } from "./step_states.ts";

const base: StepState = {
  jobId: "ftjob-a",
  startId: "s-1",
  revision: 5,
  term: 1,
  step: 1,
  attempt: 1,
  generation: 1,
  phase: "compute",
  members: [],
  weights: [],
  holders: [],
  quarantined: [],
  committed: null,
  microBatchCount: 1,
  exponents: null,
  assignments: [],
  ledger: [],
  labelCount: 0,
  learningRate: 0,
  checkSeed: 7,
  roundMs: 1,
  checkpointWriter: null,
};

function listening() {
  const broker = createMemoryBroker({ clock: createFakeClock() });
  const coordinator = broker.connect("coordinator");
  const log: string[] = [];
  const states = listenToStates(
    broker.connect("worker"),
    { jobId: "ftjob-a", startId: "s-1" },
    (_, message) => void log.push(message),
  );
  const announce = async (change: Partial<StepState>) => {
    coordinator.publish("lf.ftjob-a.state", encodeMessage(stepStateSchema, { ...base, ...change }));
    await coordinator.flush();
  };
  return { states, announce, log, coordinator };
}

Deno.test("only a newer state of the same start counts, and what cannot be read does not", async () => {
  const { states, announce, log, coordinator } = listening();
  await announce({ revision: 5 });
  await announce({ revision: 4, step: 9 });
  await announce({ revision: 5, step: 9 });
  await announce({ revision: 9, step: 9, startId: "s-0" });
  coordinator.publish("lf.ftjob-a.state", new TextEncoder().encode(`{"step":-1}`));
  await coordinator.flush();
  assertEquals([states.newest!.step, states.newest!.revision], [1, 5]);
  assertMatch(log[0]!, /the state of ftjob-a/);
  await announce({ revision: 6, step: 2 });
  assertEquals(states.newest!.step, 2);
});

Deno.test("a waiter is woken by a new state, or by the end", async () => {
  const { states, announce } = listening();
  const first = states.after(null);
  await announce({});
  await first;
  const second = states.after(states.newest);
  const check = assertRejects(() => second, LoraFleetError, "has left this job");
  states.close();
  await check;
});

Deno.test("a watch aborts at the first state that does not fit", async () => {
  const { states, announce } = listening();
  await announce({});
  const watch = states.watch(({ step }) => step === 1);
  await announce({ revision: 6, phase: "reduce" });
  assertEquals(watch.signal.aborted, false);
  await announce({ revision: 7, step: 2 });
  assertEquals(watch.signal.aborted, true);
  assertEquals(states.watch(({ step }) => step === 1).signal.aborted, true);
  const ended = states.watch(() => false);
  assertEquals(ended.signal.aborted, true);
  const open = states.watch(() => true);
  states.close();
  assertEquals(open.signal.aborted, true);
});
