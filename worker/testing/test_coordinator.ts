/** A coordinator for tests of workers: answers requests, and records what it receives. */
import type { Bus } from "../../shared/bus/bus.ts";
import type { Clock } from "../../shared/clock.ts";
import { decodeMessage, encodeMessage } from "../../shared/protocol/messages_codec.ts";
import {
  type MemberRef,
  receivedSchema,
  type StepState,
  type Verdict,
  verdictAnswerSchema,
  type Welcome,
  welcomeSchema,
} from "../../shared/protocol/messages_coordinator.ts";
import type { WorkItemHeader } from "../../shared/protocol/messages_work_item.ts";
import {
  type AttemptFailure,
  attemptFailureSchema,
  type CheckpointReport,
  checkpointReportSchema,
  heartbeatSchema,
  helloSchema,
  itemRequestSchema,
  leaveSchema,
  type MicroBatchReport,
  microBatchReportSchema,
  type UpdateReport,
  updateReportSchema,
} from "../../shared/protocol/messages_worker.ts";
import * as subjects from "../../shared/protocol/subjects.ts";
import { TestAnnouncer } from "./test_announcer.ts";
import { JOB, workItemOf } from "./test_job.ts";

const RECEIVED = encodeMessage(receivedSchema, { type: "received" });

export class TestCoordinator extends TestAnnouncer {
  readonly #counted = new Map<number, MicroBatchReport>();
  #enqueued = 0;

  readonly claims: MicroBatchReport[] = [];
  readonly updates: UpdateReport[] = [];
  readonly failures: AttemptFailure[] = [];
  readonly checkpoints: CheckpointReport[] = [];
  /** `<worker>: <reason>` */
  readonly left: string[] = [];
  /** Whether requests for the items of assignments are answered. */
  givesItems = true;

  constructor(bus: Bus, clock: Clock) {
    super(bus, clock);
    this.#serve();
    void this.repeat();
  }

  /** Micro-batches of the attempt with a counted claim. */
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
    this.setMembers([...this.members.filter(({ worker }) => worker !== self.worker), self]);
    return { type: "welcome", coordinatorId: "c", term: 1, generation: this.generation };
  };

  override announce(change: Partial<StepState>): void {
    if (change.attempt !== undefined || change.step !== undefined) this.#counted.clear();
    super.announce(change);
  }

  /** All micro-batches are counted: the round begins, with the ledger of the claims. */
  beginRound(): void {
    const owner = (index: number) =>
      this.members.findIndex(({ worker }) => worker === this.#counted.get(index)!.worker);
    this.announce({
      phase: "reduce",
      ledger: Array.from({ length: this.state.microBatchCount }, (_, index) => owner(index)),
      labelCount: [...this.#counted.values()].reduce((sum, { labelCount }) => sum + labelCount, 0),
    });
  }

  /** Commits the step with the digest that all of the last updates agree on. */
  commit(updates: readonly UpdateReport[]): void {
    const { step } = this.state;
    const digests = new Set(updates.map(({ digest }) => digest));
    if (digests.size !== 1) throw new Error(`the digests of step ${step} differ`);
    const [digest] = digests;
    this.announce({
      ...{ step: step + 1, attempt: 0, phase: "waiting", members: [], ledger: [] },
      committed: { step, digest: digest! },
      holders: this.members.map(({ worker }) => worker),
    });
  }

  /** Puts a micro-batch of the announced attempt on the queue. */
  enqueue(index: number, change: Partial<WorkItemHeader> = {}): Promise<void> {
    const { step, attempt } = { ...this.state, ...change };
    const subject = subjects.workSubject(JOB.jobId, step, attempt);
    return this.bus.enqueue(subject, this.#itemOf(index, change), `item-${++this.#enqueued}`);
  }

  #itemOf(index: number, change: Partial<WorkItemHeader> = {}): Uint8Array {
    const { step, attempt, startId } = this.state;
    const number = 100 * step + index;
    return workItemOf({ startId, step, attempt, index, number, ...change }, number);
  }

  #serve(): void {
    const { jobId } = JOB;
    this.bus.subscribe(subjects.heartbeatSubject(subjects.ANY), ({ data }) => {
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
    this.bus.subscribe(subject, ({ data, respond }) => {
      const bytes = this.isAlive ? reply(data) : null;
      if (bytes !== null) respond(bytes);
    });
  }
}
