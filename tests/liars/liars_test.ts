/**
 * Workers that lie, one in a fleet of honest ones (decision 0019): the honest stay, the liar is named, and the result is that of
 * an honest run.
 */
import { assert, assertEquals, assertMatch, assertNotEquals } from "@std/assert";
import type { Bus } from "../../shared/bus/bus.ts";
import { decodeChecksums } from "../../shared/protocol/messages_codec.ts";
import {
  type AttemptFailure,
  attemptFailureSchema,
  checkpointReportSchema,
} from "../../shared/protocol/messages_worker.ts";
import { decodeMessage, encodeChecksums, encodeMessage } from "../../shared/protocol/messages_codec.ts";
import { type StepState, stepStateSchema } from "../../shared/protocol/messages_coordinator.ts";
import * as subjects from "../../shared/protocol/subjects.ts";
import type { ToyEngineOptions } from "../../worker/testing/toy_engine.ts";
import { toyLayout } from "../../worker/testing/toy_model.ts";
import { createFleetInMemory, type FleetInMemory } from "../sim/fleet_in_memory.ts";
import type { FleetInMemoryOptions } from "../sim/sim_worker.ts";
import { addsOther, another, reportsOther, sendsOther } from "./lying_bus.ts";

const LIAR = "w-1";
/** 512 elements: everybody owns some. */
const FACTOR_SIZE = 256;
const JOB = {
  ...{ totalSteps: 6, microBatchesPerStep: 6, checkpointEvery: 2, computeMs: [200, 400], seed: 1 } as const,
};
const JOB_ID = "ftjob-sim";

type Change = Partial<FleetInMemoryOptions> & {
  readonly lie?: (fleet: FleetInMemory) => void;
  readonly engine?: Partial<ToyEngineOptions>;
  readonly workers?: number;
};

/** Runs the job with `workers`, the liar among them, to its end. */
async function run({ lie, engine = {}, workers = 4, ...change }: Change = {}): Promise<FleetInMemory> {
  const fleet = createFleetInMemory({
    ...JOB,
    engineOf: (worker) => ({ factorSize: FACTOR_SIZE, ...worker === LIAR ? engine : {} }),
    ...change,
  });
  try {
    fleet.startCoordinator();
    for (let index = 0; index < workers; index++) fleet.startWorker();
    lie?.(fleet);
    const deadline = fleet.clock.now() + 900_000;
    while (!fleet.isDone && fleet.clock.now() < deadline) {
      // Strikes are forgotten with the job.
      views.set(fleet, fleet.workerViews());
      await fleet.clock.advance(50);
    }
    await fleet.finish(1);
    return fleet;
  } finally {
    await fleet.close();
  }
}
const views = new WeakMap<FleetInMemory, ReturnType<FleetInMemory["workerViews"]>>();

const digestsOf = (
  { steps }: FleetInMemory,
) => [...new Map(steps.map(({ step, digest }) => [step, digest])).values()];
const honest = digestsOf(await run());

const only = (lie: (bus: Bus, purpose: string) => Bus) => (worker: string, bus: Bus, purpose: string) =>
  worker === LIAR ? lie(bus, purpose) : bus;
const gradients = (lie: (bus: Bus) => Bus) =>
  only((bus, purpose) => purpose === "gradients" ? lie(bus) : bus);
const control = (lie: (bus: Bus) => Bus) => only((bus, purpose) => purpose === "control" ? lie(bus) : bus);

/** Only the liar loses its work, and the job ends as without it. */
function assertNamed(fleet: FleetInMemory, why: RegExp): void {
  assertEquals(digestsOf(fleet), honest);
  const dropped = fleet.history.filter((line) => /takes no further part in the job/.test(line));
  assert(dropped.length > 0, fleet.history.slice(-40).join("\n"));
  for (const line of dropped) assertMatch(line, /event: error: w-1 takes no further part/);
  assertMatch(dropped[0]!, why);
}

Deno.test("an owner that gives everybody the same wrong sum is named, though all digests agree", async () => {
  const busOf = gradients((bus) => addsOther(bus, another(() => true)));
  assertNamed(await run({ busOf }), /w-1 is wrong: its report contradicts those of w-0 and w-2 and w-3/);
});

Deno.test("without the check such a sum would be committed: the digests of all replicas agree on it", async () => {
  // The liar's words are made to fit: it would take all others to lie with it.
  const busOf = (_worker: string, bus: Bus, purpose: string) =>
    purpose === "control"
      ? reportsOther(bus, (report) => {
        const zero = (text: string) => encodeChecksums(new Int32Array(decodeChecksums(text).length));
        const { check } = report;
        return check === null ? report : {
          ...report,
          check: {
            ...{ given: zero(check.given), received: zero(check.received) },
            ...{ total: zero(check.total), result: zero(check.result) },
          },
        };
      })
      : _worker === LIAR
      ? addsOther(bus, another(() => true))
      : bus;
  const fleet = await run({ busOf });
  assertEquals(fleet.steps.length, honest.length);
  assertNotEquals(digestsOf(fleet), honest);
});

Deno.test("a sender that gives owners other sums than it says is named by two of them", async () => {
  const busOf = gradients((bus) => sendsOther(bus, another(() => true)));
  assertNamed(await run({ busOf }), /w-1 is wrong: its report contradicts those of/);
});

Deno.test("a sender that lies to one owner alone: both own nothing then, and the next owner's word decides", async () => {
  // Its lies go to the first owner but itself that has a range.
  const busOf = gradients((bus) => {
    let first: number | null = null;
    let generation = -1;
    return sendsOther(
      bus,
      another((frame) => {
        if (frame.generation !== generation) [generation, first] = [frame.generation, frame.ownerIndex];
        return frame.ownerIndex === first;
      }),
    );
  });
  const fleet = await run({ busOf });
  assertEquals(digestsOf(fleet), honest);
  assert(fleet.history.some((line) => /The reports of w-1 and w-\d contradict each other: until/.test(line)));
  for (const { id, strikes } of views.get(fleet)!) if (id !== LIAR) assertEquals(strikes, [], id);
  assert(fleet.history.some((line) => /A strike for w-1: step \d: w-\d and w-\d accuse it/.test(line)));
});

Deno.test("an owner that lies about one sender alone: neither gets a strike, and its lies reach no other worker", async () => {
  const busOf = gradients((bus) => addsOther(bus, another(({ senderIndex }) => senderIndex === 0)));
  const fleet = await run({ busOf });
  assertEquals(digestsOf(fleet), honest);
  const disputes = fleet.history.filter((line) =>
    /The reports of w-0 and w-1 contradict each other: until/.test(line)
  );
  assertEquals(disputes.length, 1);
  assertEquals(views.get(fleet)!.flatMap(({ strikes }) => strikes), []);
  const accusations = views.get(fleet)!.map(({ accusations }) => accusations.length > 0);
  assertEquals(accusations, [true, true, false, false]);
});

const REPORTS: Record<
  string,
  [(words: Int32Array) => Int32Array, "given" | "received" | "total" | "result"]
> = {
  "what it gave": [(words) => words.map((word) => word + 1), "given"],
  "what it got": [(words) => words.map((word) => word + 1), "received"],
  "its total": [(words) => words.map((word) => word + 1), "total"],
  "the result": [(words) => words.map((word) => word + 1), "result"],
  "fewer members": [(words) => words.subarray(2), "given"],
};
for (const [what, [change, field]] of Object.entries(REPORTS)) {
  Deno.test(`a worker that computes rightly and misreports ${what} is named`, async () => {
    const busOf = control((bus) =>
      reportsOther(bus, (report) => ({
        ...report,
        check: report.check === null
          ? null
          : { ...report.check, [field]: encodeChecksums(change(decodeChecksums(report.check[field]))) },
      }))
    );
    assertNamed(await run({ busOf }), /w-1 is wrong/);
  });
}

Deno.test("a worker that reports no checksums is named", async () => {
  const busOf = control((bus) => reportsOther(bus, (report) => ({ ...report, check: null })));
  assertNamed(await run({ busOf }), /w-1 is wrong: it reported no checksums/);
});

Deno.test("a worker that computes the right gradient for the audit and adds a different one is named", async () => {
  const engine = { spoilSums: (sums: Int32Array) => void (sums[7]! += 5) };
  assertNotEquals(digestsOf(await run({ engine, fleet: { audit_rate: 0 } })), honest);
  const fleet = await run({ engine, fleet: { audit_rate: 1 } });
  assertNamed(
    fleet,
    /w-1 is wrong: it gave other sums than those of the micro-batches that it was audited for/,
  );
});

Deno.test("a worker that has computed nothing and gives something is named without any audit", async () => {
  const engine = {
    spoilSums: (sums: Int32Array) => void (sums[7]! += 5),
    // Others are done before it has its first micro-batch.
    delayMs: (call: string) => call === "computeGradient" ? 60_000 : 0,
  };
  const fleet = await run({ engine, totalSteps: 3 });
  assertEquals(digestsOf(fleet), honest.slice(0, 3));
});

Deno.test("with the int8 codec a wrong sum that agrees is found, too", async () => {
  const busOf = gradients((bus) =>
    sendsOther(
      bus,
      ({ kind, payload }) =>
        kind === "reduce_scatter"
          ? payload.map((word, i) => i === payload.length - 1 ? word ^ 0x0101 : word)
          : null,
    )
  );
  const fleet = await run({ busOf, fleet: { gradient_codec: "int8" } });
  assert(fleet.history.some((line) => /event: error: w-1 takes no further part/.test(line)));
  assert(!fleet.history.some((line) => /event: error: w-[023] takes no further part/.test(line)));
});

Deno.test("local steps: an owner that gives everybody the same wrong sum is named", async () => {
  const local = {
    fleet: { local_steps: { inner_steps: 2, replicas: 4 } },
    totalSteps: 24,
    checkpointEvery: 1,
  } as const;
  const expected = digestsOf(await run(local));
  const busOf = gradients((bus) => addsOther(bus, another(() => true)));
  const fleet = await run({ ...local, busOf });
  assertEquals(digestsOf(fleet), expected);
  assert(fleet.history.some((line) => /the sums do not add up: w-1 is wrong/.test(line)));
});

/** Speaks besides the liar's agent, which does its work. */
function mouth(fleet: FleetInMemory, onState: (state: StepState, bus: Bus) => void): void {
  const bus = fleet.broker.connect(`${LIAR} mouth`);
  bus.subscribe(
    subjects.stateSubject(JOB_ID),
    ({ data }) => onState(decodeMessage(stepStateSchema, data, "state"), bus),
  );
}

function accusing(fleet: FleetInMemory, victimsOf: (state: StepState) => readonly string[]): void {
  let last = "";
  mouth(fleet, (state, bus) => {
    const self = state.members.find(({ worker }) => worker === LIAR);
    const { term, step, attempt, phase } = state;
    const key = `${term} ${step} ${attempt}`;
    if (self === undefined || key === last || phase !== "compute") return;
    last = key;
    const suspects = [...victimsOf(state)];
    if (suspects.length === 0) return;
    const failure: AttemptFailure = {
      ...self,
      term,
      step,
      attempt,
      reason: "chunks are missing",
      suspects,
      gradientBytesSent: 0,
    };
    const said = encodeMessage(attemptFailureSchema, failure);
    bus.request(subjects.failureSubject(JOB_ID, LIAR), said, 1000).catch(() => {});
  });
}

Deno.test("a worker that accuses all others in each attempt is the only one thrown out", async () => {
  const fleet = await run({
    lie: (fleet) =>
      accusing(
        fleet,
        ({ members }) => members.map(({ worker }) => worker).filter((worker) => worker !== LIAR),
      ),
  });
  assertNamed(fleet, /it alone accuses w-0, w-2, w-3/);
});

Deno.test("a worker that accuses one other again and again is thrown out, the other one stays", async () => {
  assertNamed(
    await run({ lie: (fleet) => accusing(fleet, () => ["w-0"]) }),
    /it accuses w-0, from whom nothing was due/,
  );
});

Deno.test("a worker that accuses one after the other is thrown out, the others stay", async () => {
  const victims = ["w-0", "w-2", "w-3"];
  const fleet = await run({ lie: (fleet) => accusing(fleet, ({ attempt }) => [victims[attempt % 3]!]) });
  assertNamed(fleet, /alone accuses|nothing was due/);
});

Deno.test("of two workers one accuses the other: reported as unresolved, neither is thrown out, the result is right", async () => {
  let count = 0;
  const fleet = await run({
    workers: 2,
    lie: (fleet) => accusing(fleet, () => count++ < 5 ? ["w-0"] : []),
  });
  assertEquals(digestsOf(fleet), honest);
  assert(
    fleet.history.some((line) => /reports of w-1 and w-0 contradict each other. With two members/.test(line)),
  );
  assertEquals(views.get(fleet)!.flatMap(({ strikes }) => strikes), []);
});

Deno.test("a checkpoint that a different worker reports is not that of the job, whatever it has uploaded", async () => {
  let reports = 0;
  const fleet = await run({
    lie: (fleet) =>
      mouth(fleet, (state, bus) => {
        const self = state.members.find(({ worker }) => worker === LIAR) ??
          { worker: LIAR, incarnation: `i-${LIAR}-1` };
        const step = state.committed?.step ?? 0;
        if (step < 1 || state.checkpointWriter === LIAR) return;
        reports++;
        for (const to of [step, 999_999]) {
          const files = fleet.artifacts.store(
            JOB_ID,
            to,
            LIAR,
            new TextEncoder().encode("evil"),
            new Int32Array(12),
          );
          const report = { ...self, step: to, outcome: { type: "written" as const, files } };
          const said = encodeMessage(checkpointReportSchema, report);
          bus.request(subjects.checkpointSubject(JOB_ID, LIAR), said, 1000).catch(() => {});
        }
      }),
  });
  assert(reports > 0);
  assertEquals(digestsOf(fleet), honest);
  assertEquals([...await fleet.artifacts.steps(JOB_ID)].sort(), [2, 4, 6]);
});

Deno.test("a writer that stores a state other than the committed one is rejected, and the next one writes", async () => {
  const [writer, evil] = ["w-0", new Int32Array(3 * 2 * FACTOR_SIZE)];
  let artifacts: FleetInMemory["artifacts"] | null = null;
  const busOf = (worker: string, bus: Bus): Bus =>
    worker !== writer ? bus : {
      ...bus,
      request: (subject, data, timeoutMs) => {
        if (!subject.includes(".checkpoint.")) return bus.request(subject, data, timeoutMs);
        const report = decodeMessage(checkpointReportSchema, data, "a checkpoint");
        const files = artifacts!.store(JOB_ID, report.step, writer, new Uint8Array(8), evil);
        const said = { ...report, outcome: { type: "written" as const, files } };
        return bus.request(subject, encodeMessage(checkpointReportSchema, said), timeoutMs);
      },
    };
  const fleet = await run({ busOf, lie: (fleet) => void (artifacts = fleet.artifacts) });
  assertEquals(digestsOf(fleet), honest);
  assertMatch(
    fleet.history.find((line) => /The adapter of step 2 is not stored/.test(line)) ?? "",
    /w-0: the training state has the digest [0-9a-f]{64}, not [0-9a-f]{64}/,
  );
  assertEquals([...await fleet.artifacts.steps(JOB_ID)].sort(), [2, 4, 6]);
});

Deno.test("a worker that floods the coordinator is reported in a line or two, and the job goes on", async () => {
  const fleet = await run({
    lie: (fleet) => {
      let sent = false;
      mouth(fleet, (state, bus) => {
        if (sent || state.step < 2) return;
        sent = true;
        for (let i = 0; i < 20_000; i++) bus.publish(subjects.heartbeatSubject(LIAR), new Uint8Array(i % 3));
        for (let i = 0; i < 50; i++) {
          bus.publish(subjects.reportSubject(JOB_ID, LIAR), new Uint8Array(2 ** 20));
        }
      });
    },
  });
  assertEquals(digestsOf(fleet), honest);
  const lines = fleet.history.filter((line) => /is ignored|too many messages/.test(line));
  assert(lines.length <= 6, lines.join("\n"));
  assert(lines.some((line) => /w-1 has sent too many messages that no worker sends/.test(line)));
});

Deno.test("a worker that reports a layout other than the job's takes no part, even if it is the first", async () => {
  const { tensors, ...layout } = toyLayout(4, FACTOR_SIZE);
  const layoutOf = () =>
    Promise.resolve({
      ...{ ...layout, tensorCount: tensors.length },
      tensors: tensors.map(({ name, offset, shape }) => ({ name, offset, shape, size: FACTOR_SIZE })),
    });
  for (const liar of ["w-0", "w-1"]) {
    const engineOf = (worker: string) => ({ factorSize: worker === liar ? 64 : FACTOR_SIZE });
    const fleet = await run({ engineOf, layoutOf });
    assertEquals(digestsOf(fleet), honest);
    assert(
      fleet.history.some((line) =>
        line.includes(`${liar} takes no part in the job: it reports an adapter of`)
      ),
    );
    assert(fleet.steps.every(({ workerCount }) => workerCount <= 3));
  }
});
