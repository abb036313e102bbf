/** The announcing half of the test coordinator: the fleet, the job and the state of the step, as the test decides. */
import type { Bus } from "../../shared/bus/bus.ts";
import type { Clock } from "../../shared/clock.ts";
import { encodeMessage } from "../../shared/protocol/messages_codec.ts";
import {
  fleetStateSchema,
  type JobAnnouncement,
  type MemberRef,
  type StepState,
  stepStateSchema,
} from "../../shared/protocol/messages_coordinator.ts";
import type { Heartbeat } from "../../shared/protocol/messages_worker.ts";
import * as subjects from "../../shared/protocol/subjects.ts";
import { JOB, TEST_LIMITS } from "./test_job.ts";

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

export class TestAnnouncer {
  protected readonly bus: Bus;
  readonly #clock: Clock;
  #state = INITIAL_STATE;
  #members: MemberRef[] = [];
  #generation = INITIAL_STATE.generation;
  #isAlive = true;
  #job: JobAnnouncement | null = null;
  /** The newest of each worker. */
  readonly heartbeats = new Map<string, Heartbeat>();

  constructor(bus: Bus, clock: Clock) {
    this.bus = bus;
    this.#clock = clock;
  }

  protected get isAlive(): boolean {
    return this.#isAlive;
  }

  protected get generation(): number {
    return this.#generation;
  }

  /** Announces repeatedly, without end. */
  protected async repeat(): Promise<void> {
    for (;;) {
      this.#publishFleet();
      this.#publishState();
      await this.#clock.sleep(TEST_LIMITS.announcementIntervalMs);
    }
  }

  get state(): StepState {
    return this.#state;
  }

  get members(): readonly MemberRef[] {
    return this.#members;
  }

  /** Changes the state of the step and announces it. */
  announce(change: Partial<StepState>): void {
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
    this.setMembers(this.#members.filter((member) => member.worker !== worker));
  }

  protected setMembers(next: MemberRef[]): void {
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
    this.bus.publish(subjects.FLEET_SUBJECT, encodeMessage(fleetStateSchema, fleet));
  }

  #publishState(): void {
    if (!this.#isAlive || this.#job === null) return;
    this.bus.publish(subjects.stateSubject(this.#job.jobId), encodeMessage(stepStateSchema, this.#state));
  }
}
