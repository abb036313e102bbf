import { assert, assertEquals, assertMatch } from "@std/assert";
import { LoraFleetError } from "../../../shared/errors.ts";
import { createFakeClock, type FakeClock } from "../../../shared/testing/fake_clock.ts";
import { jobFixture } from "../../jobs/record/job_fixture.ts";
import type { JobRecord } from "../../jobs/record/job.ts";
import type { JobStore } from "../../jobs/stores/job_store.ts";
import { openSqliteJobStore } from "../../jobs/stores/sqlite_job_store.ts";
import type { Batch, RunState, TrackedRun } from "../run/tracker.ts";
import { deliverRun } from "./delivery.ts";
import { deliveryFile, unfinishedDeliveries } from "./delivery_state.ts";
import { foldEvent, type LoggingRule, NOTHING_FOLDED } from "./points.ts";

const DAY_MS = 24 * 3_600_000;
const RULE: LoggingRule = { strategy: "steps", loggingSteps: 1, firstStep: false, workerHourPrice: null };

/** A tracker that can be down, and remembers what it took. */
class FakeRun implements TrackedRun {
  readonly batches: Batch[] = [];
  readonly states: RunState[] = [];
  beats = 0;
  down: LoraFleetError | null = null;
  /** Takes the next batch and fails all the same, as a lost answer does. */
  losesAnswer = false;

  send(batch: Batch, state: RunState): Promise<{ count: number }> {
    if (this.down !== null) return Promise.reject(this.down);
    this.states.push(state);
    this.batches.push(batch);
    if (this.losesAnswer) return Promise.reject(new LoraFleetError("timeout", "no answer in 20 s"));
    return Promise.resolve({ count: Number(state?.["count"] ?? 0) + batch.points.length });
  }

  placeOf = () => "http://tracker/run";

  beat(): Promise<void> {
    this.beats++;
    return Promise.resolve();
  }

  get steps(): number[] {
    return this.batches.flatMap(({ points }) => points.map(({ step }) => step));
  }
}

interface Trial {
  readonly run: FakeRun;
  readonly clock: FakeClock;
  readonly folder: string;
  readonly notes: string[];
  steps(from: number, to: number): void;
  put(changes: Partial<JobRecord>): void;
  /** Lets the delivery do all that it can do without more time, files included. */
  settle(milliseconds?: number): Promise<void>;
  /** Ends the process's part and starts the next one's. */
  restart(): Promise<void>;
  readonly ended: () => Promise<void>;
}

async function withTrial(body: (trial: Trial) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir();
  const store: JobStore = openSqliteJobStore(":memory:");
  const clock = createFakeClock(1_700_000_000_000);
  const run = new FakeRun();
  const notes: string[] = [];
  const listeners = new Set<() => void>();
  let job = jobFixture("ftjob-1", { status: "running", startedAt: 1000, totalSteps: 1000 });
  let stopped = new AbortController();
  const start = () =>
    deliverRun({
      ...{ jobId: job.id, title: "Fake", open: () => run, rule: RULE, store, clock, signal: stopped.signal },
      file: counted(deliveryFile(folder, job.id, "fake")),
      watch(listener) {
        listeners.add(listener);
        return () => listeners.delete(listener);
      },
      note: (level, message) => notes.push(`${level}: ${message}`),
    });
  let operations = 0;
  /** The same file, whose unfinished operations are counted. */
  const counted = <T extends object>(file: T): T =>
    new Proxy(file, {
      get(target, name) {
        const method = Reflect.get(target, name);
        if (typeof method !== "function") return method;
        return async (...args: unknown[]) => {
          operations++;
          try {
            return await Reflect.apply(method, target, args);
          } finally {
            operations--;
          }
        };
      },
    });
  const notify = () => [...listeners].forEach((listener) => listener());
  store.putJob(job, []);
  let ended = start();
  try {
    await body({
      ...{ run, clock, folder, notes },
      steps(from, to) {
        for (let step = from; step <= to; step++) {
          const data = {
            step,
            total_steps: 1000,
            train_loss: 1 / step,
            epoch: 0,
            tokens: 1,
            step_seconds: 1,
          };
          store.appendEvents([
            { jobId: job.id, createdAt: clock.now(), level: "info", type: "metrics", message: "", data },
          ]);
        }
        notify();
      },
      put(changes) {
        job = { ...job, ...changes };
        store.putJob(job, []);
        notify();
      },
      async settle(milliseconds = 0) {
        await clock.advance(milliseconds);
        // Quiet for ten turns: a busy disk may take its time, and then the delivery goes on at once.
        for (let quiet = 0; quiet < 10; quiet = operations > 0 ? 0 : quiet + 1) {
          await new Promise((resolve) => setTimeout(resolve, 1));
          await clock.advance(0);
        }
      },
      async restart() {
        stopped.abort();
        await ended;
        stopped = new AbortController();
        ended = start();
      },
      ended: () => ended,
    });
  } finally {
    stopped.abort();
    await ended;
    store.close();
    await Deno.remove(folder, { recursive: true });
  }
}

const range = (from: number, to: number) => Array.from({ length: to - from + 1 }, (_, index) => from + index);
const DOWN = new LoraFleetError("timeout", "connection refused");

Deno.test("a run appears at the tracker when the job starts, grows with it and ends with it", () =>
  withTrial(async ({ run, steps, put, settle, notes, ended, folder }) => {
    await settle();
    assertEquals(run.batches, [{ points: [], end: null }]);
    steps(1, 3);
    await settle(1000);
    steps(4, 5);
    await settle(1000);
    assertEquals([run.steps, run.batches.length], [range(1, 5), 3]);
    assertEquals(run.states, [null, { count: 0 }, { count: 3 }]);
    steps(6, 6);
    put({ status: "succeeded", finishedAt: 2000, step: 6 });
    await settle(1000);
    await ended();
    assertEquals(run.steps, range(1, 6));
    assertEquals([run.batches.at(-1)!.end!.status, run.batches.at(-1)!.end!.step], ["succeeded", 6]);
    assertEquals(notes, ["info: Fake shows this run: http://tracker/run."]);
    assertEquals(await unfinishedDeliveries(folder), []);
  }));

Deno.test("a tracker that is down gets its points later, in order; its failure and its return are events, once each", () =>
  withTrial(async ({ run, steps, settle, notes }) => {
    await settle();
    steps(1, 2);
    await settle(1000);
    run.down = DOWN;
    for (const step of range(3, 40)) {
      steps(step, step);
      await settle(5000);
    }
    assertEquals([run.steps, notes.length], [[1, 2], 2]);
    assertEquals(
      notes[1],
      "warn: Fake takes no points: connection refused. The job continues; they are sent later.",
    );
    run.down = null;
    await settle(60_000);
    assertEquals(run.steps, range(1, 40));
    assertEquals(notes.slice(2), ["info: Fake takes points again; those that waited are delivered."]);
  }));

Deno.test("points that wait survive a restart, without a second report and without a point twice", () =>
  withTrial(async ({ run, steps, settle, notes, restart, folder }) => {
    await settle();
    steps(1, 2);
    await settle(1000);
    run.down = DOWN;
    steps(3, 700);
    await settle(1000);
    assertEquals(await unfinishedDeliveries(folder), [{ jobId: "ftjob-1", tracker: "fake" }]);
    await restart();
    await settle(1000);
    run.down = null;
    await settle(60_000);
    await settle(1000);
    assertEquals(run.steps, range(1, 700));
    assert(Math.max(...run.batches.map(({ points }) => points.length)) === 600, "batches are bounded");
    assertEquals(notes.length, 3, notes.join("\n"));
  }));

Deno.test("a batch whose answer is lost is sent again from the same state", () =>
  withTrial(async ({ run, steps, settle }) => {
    await settle();
    run.losesAnswer = true;
    steps(1, 2);
    await settle(1000);
    run.losesAnswer = false;
    steps(3, 3);
    await settle(60_000);
    // The tracker makes one of both by the state, which counts the points before.
    assertEquals(run.states.slice(1).map((state) => state?.["count"]), run.states.slice(1).map(() => 0));
    assertEquals(run.batches.at(-1)!.points.map(({ step }) => step), [1, 2, 3]);
  }));

Deno.test("a refused key is reported with what has to be done", () =>
  withTrial(async ({ run, settle, notes }) => {
    run.down = new LoraFleetError("unauthorized", "the key is refused");
    await settle(5000);
    assertMatch(notes[0]!, /the key is refused\. The job continues; they are sent once .* a valid key/);
  }));

Deno.test("a silent run is reported as running every half minute", () =>
  withTrial(async ({ run, settle }) => {
    await settle();
    await settle(1000);
    for (let minute = 0; minute < 4; minute++) await settle(30_000);
    assertEquals([run.beats, run.batches.length], [4, 1]);
  }));

Deno.test("a job that ends before it starts leaves no run", () =>
  withTrial(async ({ run, put, settle, ended, restart }) => {
    put({ startedAt: null, status: "queued" });
    await restart();
    const before = run.batches.length;
    put({ status: "failed", finishedAt: 5 });
    await settle();
    await ended();
    assertEquals(run.batches.length, before);
  }));

Deno.test("after 7 days without the tracker the points of a finished job are given up", () =>
  withTrial(async ({ run, put, settle, clock, notes, ended, folder }) => {
    run.down = DOWN;
    put({ status: "succeeded", finishedAt: clock.now() });
    await settle(1000);
    await settle(6 * DAY_MS);
    assertEquals((await unfinishedDeliveries(folder)).length, 1);
    await settle(DAY_MS);
    await settle(60_000);
    await ended();
    assertEquals(
      notes.at(-1),
      "warn: Fake has taken no points for 7 days: those that are left are not sent.",
    );
    assertEquals(await unfinishedDeliveries(folder), []);
  }));

Deno.test("folding has no effect on what it is given", () => {
  const event = { number: 1, jobId: "j", createdAt: 1, level: "info", type: "metrics", message: "" } as const;
  foldEvent(NOTHING_FOLDED, { ...event, data: { step: 1, train_loss: 1 } }, RULE);
  assertEquals(NOTHING_FOLDED.means, {});
});
