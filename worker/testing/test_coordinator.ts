/** A coordinator for tests of workers: answers requests, records what it receives, and announces what the test decides. */
import type { Bus } from "../../shared/bus/bus.ts";
import type { Clock } from "../../shared/clock.ts";
import {
  type AttemptFailure,
  attemptFailureSchema,
  type CheckpointReport,
  checkpointReportSchema,
  decodeMessage,
  encodeMessage,
  fleetStateSchema,
  type Heartbeat,
  heartbeatSchema,
  helloSchema,
  itemRequestSchema,
  type JobAnnouncement,
  leaveSchema,
  type MemberRef,
  type MicroBatchReport,
  microBatchReportSchema,
  receivedSchema,
  type StepState,
  stepStateSchema,
  type UpdateReport,
  updateReportSchema,
  type Verdict,
  verdictAnswerSchema,
  type Welcome,
  welcomeSchema,
  type WorkItemHeader,
} from "../../shared/protocol/messages.ts";
import * as subjects from "../../shared/protocol/subjects.ts";
import { JOB, TEST_LIMITS, workItemOf } from "./test_job.ts";

const RECEIVED = encodeMessage(receivedSchema, { type: "received" });

const INITIAL_STATE: StepState = {
  jobId: JOB.jobId,
  startId: JOB.startId,
  revision: 1,
  term: 1,
  step: 1,
  attempt: 0,
  generation: 100,
  phase: "waiting",
  members: [],
  weights: [],
  holders: [],
  quarantined: [],
  committed: null,
  microBatchCount: 2,
  exponents: null,
  assignments: [],
  ledger: [],
  labelCount: 0,
  learningRate: 0.01,
  checkSeed: 7,
  roundMs: 20_000,
  checkpointWriter: null,
};

export class TestCoordinator {
  readonly #bus: Bus;
  readonly #counted = new Map<number, MicroBatchReport>();
  #state = INITIAL_STATE;
  #members: MemberRef[] = [];
  #generation = INITIAL_STATE.generation;
  #isAlive = true;
  #job: JobAnnouncement | null = null;
  #enqueued = 0;

  /** The newest of each worker. */
  readonly heartbeats = new Map<string, Heartbeat>();
  readonly claims: MicroBatchReport[] = [];
  readonly updates: UpdateReport[] = [];
  readonly failures: AttemptFailure[] = [];
  readonly checkpoints: CheckpointReport[] = [];
  /** `<worker>: <reason>` */
  readonly left: string[] = [];
  /** Whether requests for the items of assignments are answered. */
  givesItems = true;

  constructor(bus: Bus, clock: Clock) {
    this.#bus = bus;
    this.#serve();
    const repeat = async () => {
      for (;;) {
        this.#publishFleet();
        this.#publishState();
        await clock.sleep(TEST_LIMITS.announcementIntervalMs);
      }
    };
    void repeat();
  }

  get state(): StepState {
    return this.#state;
  }

  get members(): readonly MemberRef[] {
    return this.#members;
  }

  /** Micro-batches of the attempt that have a claim that counts. */
  get countedMicroBatches(): number {
    return this.#counted.size;
  }

  /** The answer to a claim; null: none. Unless a test replaces it, the first claim of each micro-batch counts. */
  verdict = (report: MicroBatchReport): Verdict | null => {
    const before = this.#counted.get(report.index);
    if (before === undefined) this.#counted.set(report.index, report);
    const isSame = before === undefined || (before.worker === report.worker && before.claim === report.claim);
    return isSame ? "counted" : "duplicate";
  };

  welcome = (self: MemberRef): Welcome | null => {
    this.#setMembers([...this.#members.filter(({ worker }) => worker !== self.worker), self]);
    return { type: "welcome", coordinatorId: "c", term: 1, generation: this.#generation };
  };

  /** Changes the state of the step and announces it. */
  announce(change: Partial<StepState>): void {
    const isNewAttempt = change.attempt !== undefined || change.step !== undefined;
    if (isNewAttempt) this.#counted.clear();
    const weights = (change.members ?? this.#state.members).map(() => 1);
    this.#state = { ...this.#state, weights, ...change, revision: this.#state.revision + 1 };
    this.#publishState();
  }

  /** Begins an attempt with all members. */
  begin(step: number, attempt: number, change: Partial<StepState> = {}): void {
    this.announce({
      ...{
        step,
        attempt,
        generation: this.#generation,
        phase: "compute",
        members: [...this.#members],
        ledger: [],
      },
      ...{ exponents: [-20, -20], ...change },
    });
  }

  /** All micro-batches are counted: the round begins, with the ledger of the claims. */
  beginRound(): void {
    const owner = (index: number) =>
      this.#members.findIndex(({ worker }) => worker === this.#counted.get(index)!.worker);
    this.announce({
      phase: "reduce",
      ledger: Array.from({ length: this.#state.microBatchCount }, (_, index) => owner(index)),
      labelCount: [...this.#counted.values()].reduce((sum, { labelCount }) => sum + labelCount, 0),
    });
  }

  /** Commits the step with the digest that all of the last updates agree on. */
  commit(updates: readonly UpdateReport[]): void {
    const { step } = this.#state;
    const digests = new Set(updates.map(({ digest }) => digest));
    if (digests.size !== 1) throw new Error(`the digests of step ${step} differ`);
    const [digest] = digests;
    this.announce({
      ...{ step: step + 1, attempt: 0, phase: "waiting", members: [], ledger: [] },
      committed: { step, digest: digest! },
      holders: this.#members.map(({ worker }) => worker),
    });
  }

  /** Publishes nothing and answers nothing from now on. */
  crash(): void {
    this.#isAlive = false;
  }

  /** A new coordinator on the same broker, which knows no worker. */
  restart(generation = this.#generation + 1000): void {
    this.#isAlive = true;
    this.#members = [];
    this.#generation = generation;
    this.heartbeats.clear();
    const { term, revision } = this.#state;
    this.#state = { ...this.#state, term: term + 1, revision: revision + 1000, phase: "waiting", attempt: 0 };
    this.#publishFleet();
  }

  setJob(job: JobAnnouncement | null): void {
    this.#job = job;
    if (job !== null) this.#state = { ...this.#state, startId: job.startId };
    this.#publishFleet();
  }

  /** Declares a worker lost. */
  lose(worker: string): void {
    this.#setMembers(this.#members.filter((member) => member.worker !== worker));
  }

  /** Puts a micro-batch of the announced attempt on the queue. */
  enqueue(index: number, change: Partial<WorkItemHeader> = {}): Promise<void> {
    const { step, attempt } = { ...this.#state, ...change };
    const subject = subjects.workSubject(JOB.jobId, step, attempt);
    return this.#bus.enqueue(subject, this.#itemOf(index, change), `item-${++this.#enqueued}`);
  }

  #itemOf(index: number, change: Partial<WorkItemHeader> = {}): Uint8Array {
    const { step, attempt, startId } = this.#state;
    const number = 100 * step + index;
    return workItemOf({ startId, step, attempt, index, number, ...change }, number);
  }

  #setMembers(next: MemberRef[]): void {
    this.#members = next.sort((a, b) => a.worker < b.worker ? -1 : 1);
    this.#generation++;
    this.#publishFleet();
  }

  #publishFleet(): void {
    if (!this.#isAlive) return;
    const fleet = {
      coordinatorId: "c",
      term: 1,
      generation: this.#generation,
      members: this.#members,
      job: this.#job,
    };
    this.#bus.publish(subjects.FLEET_SUBJECT, encodeMessage(fleetStateSchema, fleet));
  }

  #publishState(): void {
    if (!this.#isAlive || this.#job === null) return;
    this.#bus.publish(subjects.stateSubject(this.#job.jobId), encodeMessage(stepStateSchema, this.#state));
  }

  #serve(): void {
    const { jobId } = JOB;
    this.#bus.subscribe(subjects.heartbeatSubject(subjects.ANY), ({ data }) => {
      const heartbeat = decodeMessage(heartbeatSchema, data, "heartbeat");
      this.heartbeats.set(heartbeat.worker, heartbeat);
    });
    this.#answer(subjects.helloSubject(subjects.ANY), (data) => {
      const { worker, incarnation } = decodeMessage(helloSchema, data, "hello");
      const welcome = this.welcome({ worker, incarnation });
      return welcome && encodeMessage(welcomeSchema, welcome);
    });
    this.#answer(subjects.leaveSubject(subjects.ANY), (data) => {
      const { worker, reason } = decodeMessage(leaveSchema, data, "leave");
      this.left.push(`${worker}: ${reason}`);
      this.lose(worker);
      return RECEIVED;
    });
    this.#answer(subjects.reportSubject(jobId, subjects.ANY), (data) => {
      const report = decodeMessage(microBatchReportSchema, data, "report");
      this.claims.push(report);
      const verdict = this.verdict(report);
      return verdict && encodeMessage(verdictAnswerSchema, { verdict });
    });
    this.#answer(subjects.itemSubject(jobId, subjects.ANY), (data) => {
      const { index } = decodeMessage(itemRequestSchema, data, "item");
      return this.givesItems ? this.#itemOf(index) : null;
    });
    this.#answer(subjects.updateSubject(jobId, subjects.ANY), (data) => {
      this.updates.push(decodeMessage(updateReportSchema, data, "update"));
      return RECEIVED;
    });
    this.#answer(subjects.failureSubject(jobId, subjects.ANY), (data) => {
      this.failures.push(decodeMessage(attemptFailureSchema, data, "failure"));
      return RECEIVED;
    });
    this.#answer(subjects.checkpointSubject(jobId, subjects.ANY), (data) => {
      this.checkpoints.push(decodeMessage(checkpointReportSchema, data, "checkpoint"));
      return RECEIVED;
    });
  }

  #answer(subject: string, reply: (data: Uint8Array) => Uint8Array | null): void {
    this.#bus.subscribe(subject, ({ data, respond }) => {
      const bytes = this.#isAlive ? reply(data) : null;
      if (bytes !== null) respond(bytes);
    });
  }
}
