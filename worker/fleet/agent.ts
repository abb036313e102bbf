/**
 * A worker's life in the fleet: join, heartbeats, membership, the job, leaving (docs/protocol.md). It reads neither the
 * environment nor the system clock, so that a whole fleet can run in one process.
 */
import { LoraFleetError } from "../../shared/errors.ts";
import type { JobAnnouncement, MemberRef, Welcome } from "../../shared/protocol/messages_coordinator.ts";
import type { Heartbeat } from "../../shared/protocol/messages_worker.ts";
import { createChange } from "../async/change.ts";
import { JobHost, type JobHostOptions } from "../job/job_host.ts";
import { Telemetry } from "../step/telemetry.ts";
import { type Connection, CoordinatorLink, type CoordinatorLinkOptions } from "./coordinator_link.ts";
import { Drain } from "./drain.ts";
import { type EventLoopGap, measureEventLoopGap } from "./event_loop_gap.ts";
import { listenToFleet } from "./fleet_feed.ts";
import { GpuHealth, leavingReason } from "../job/gpu_health.ts";
import { startHeartbeats } from "./heartbeat.ts";
import { sayGoodbye, sayHello } from "./hello.ts";
import type { JoinReply } from "./join.ts";
import { type Measure, Measuring } from "./measuring.ts";
import { stayMember, type StayOutcome } from "./stay_member.ts";

/** `F` with the newest reply of the join URL as its first argument. */
type WithReply<F extends (...args: never[]) => unknown> = (
  reply: JoinReply,
  ...rest: Parameters<F>
) => ReturnType<F>;

export interface AgentOptions
  extends Pick<JobHostOptions, "newEngine" | "engineLimits">, Omit<CoordinatorLinkOptions, "signal"> {
  readonly worker: string;
  /** The worker's display name. */
  readonly name: string;
  readonly gpu: string;
  readonly newIncarnation: () => string;
  /** Called after each heartbeat. */
  readonly onBeat?: () => void;
  readonly findBaseModel: WithReply<JobHostOptions["findBaseModel"]>;
  readonly writeCheckpoint: WithReply<JobHostOptions["writeCheckpoint"]>;
  /** Left out: this worker measures no merges. */
  readonly measure?: (reply: () => JoinReply, ...rest: Parameters<Measure>) => ReturnType<Measure>;
}

const DRAINING = "draining: finishing the current step, then leaving";
const NOT_JOINED = "stopped before joining a fleet";

export function startAgent(options: AgentOptions): Agent {
  return new Agent(options);
}

export class Agent {
  /** Resolves when the worker has left; rejects if it cannot stay: `unauthorized`, `conflict`, `gpu_failure` (worker/job/gpu_health.ts). */
  readonly ended: Promise<void>;
  readonly #options: AgentOptions;
  readonly #change = createChange();
  readonly #stopping = new AbortController();
  readonly #gap: EventLoopGap;
  readonly #link: CoordinatorLink;
  readonly #drain: Drain;
  readonly #telemetry: Telemetry;
  readonly #host: JobHost;
  readonly #measuring: Measuring;
  readonly #gpu: GpuHealth;
  #isMember = false;
  /** Sends a heartbeat at once. */
  #beat = () => {};

  constructor(options: AgentOptions) {
    const { clock, limits } = options;
    this.#options = options;
    this.#gap = measureEventLoopGap(clock, limits.eventLoopTickMs, this.#stopping.signal);
    this.#link = new CoordinatorLink({ ...options, signal: this.#stopping.signal });
    this.#drain = new Drain(clock, limits);
    this.#telemetry = new Telemetry(clock);
    this.#gpu = new GpuHealth(this.#telemetry, clock);
    this.#host = new JobHost({
      ...options,
      telemetry: this.#telemetry,
      findBaseModel: (...rest) => options.findBaseModel(this.#link.reply, ...rest),
      writeCheckpoint: (...rest) => options.writeCheckpoint(this.#link.reply, ...rest),
      onChange: () => {
        this.#beat();
        this.#change.notify();
      },
      onProgress: () => this.#change.notify(),
      onEngineNote: (note) => this.#gpu.hear(note),
    });
    this.#measuring = measuringOf(options, this.#link, this.#host);
    this.ended = this.#run();
    this.ended.catch(() => {}); // so that a rejection before anything awaits it is not unhandled
  }

  get isIdle(): boolean {
    return this.#host.isIdle && !this.#measuring.isRunning;
  }

  /** Finishes the current attempt, and leaves. */
  drain(): void {
    if (this.#drain.since === null) this.#options.log("info", this.#isMember ? DRAINING : NOT_JOINED);
    this.#drain.start();
    this.#beat();
    this.#change.notify();
  }

  /** Leaves at once. */
  async stop(): Promise<void> {
    this.#stopping.abort(new LoraFleetError("aborted", "the worker is ending"));
    this.#change.notify();
    await this.ended.catch(() => {});
  }

  async #run(): Promise<void> {
    const living = this.#live();
    try {
      await Promise.race([living, this.#link.keepToken(), this.#gpu.broken]);
    } catch (thrown) {
      if (this.#stopping.signal.aborted) return;
      this.#stopping.abort(thrown);
      throw thrown;
    } finally {
      this.#beat = () => {};
      this.#stopping.abort();
      await living.catch(() => {});
      await this.#host.close();
    }
  }

  async #live(): Promise<void> {
    for (;;) {
      const connection = await this.#link.connect(this.#drain.started);
      if (connection === null) return;
      try {
        if (await this.#serve(connection) === "left") return;
      } finally {
        this.#host.join(null);
        await connection.close();
      }
    }
  }

  /** One membership after the other, until the worker has left or needs new connections. */
  async #serve(connection: Connection): Promise<"left" | "moved"> {
    const { worker, name, gpu, limits, log } = this.#options;
    const { control: bus } = connection;
    const fleet = listenToFleet({ ...this.#options, bus, onChange: () => this.#change.notify() });
    this.#measuring.listen(bus);
    const common = { ...this.#options, signal: this.#stopping.signal };
    for (;;) {
      const self = { worker, incarnation: this.#options.newIncarnation() };
      const welcome = await sayHello({ ...common, bus, self, drain: this.#drain });
      if (welcome === "left") return welcome;
      if (welcome === null && fleet.silentMs > limits.coordinatorSilentMs) return "moved";
      if (welcome === null) continue;
      assertAdmitted(welcome);
      log("info", `joined as ${worker} (${name}, ${gpu})`);
      const stay = () =>
        stayMember({
          ...{ ...common, self, welcome, fleet, link: this.#link, change: this.#change },
          onJob: announcer(this.#host, this.#measuring),
          isDrained: (hasOthers, isSilent) => this.#drain.isOver(this.#host, hasOthers, isSilent),
        });
      const outcome = await this.#beMember(connection, self, stay);
      if (outcome !== "lost") return outcome;
    }
  }

  /** Sends heartbeats and takes part in the job during `stay`; says goodbye unless the coordinator has dropped the worker. */
  async #beMember(
    { control: bus, gradients }: Connection,
    self: MemberRef,
    stay: () => Promise<StayOutcome>,
  ): Promise<StayOutcome> {
    const member = new AbortController();
    const leave = (reason: string) => {
      this.#beat();
      return sayGoodbye(bus, self, reason, this.#options);
    };
    this.#isMember = true;
    const describe = () =>
      heartbeatOf(this.#options, self, this.#drain, this.#gap, this.#host, this.#telemetry);
    this.#beat = startHeartbeats({ ...this.#options, bus, describe, signal: member.signal });
    this.#host.join({ self, control: bus, gradients });
    this.#measuring.join(self);
    try {
      const outcome = await stay();
      if (outcome === "lost") this.#options.log("warn", "dropped by the coordinator; rejoining");
      if (outcome === "left") await leave("drained");
      return outcome;
    } catch (thrown) {
      await leave(leavingReason(this.#stopping.signal, thrown)).catch(() => {});
      throw thrown;
    } finally {
      this.#isMember = false;
      this.#beat = () => {};
      member.abort();
      this.#host.join(null);
      this.#measuring.join(null);
    }
  }
}

/** @throws LoraFleetError `conflict` */
function assertAdmitted(welcome: Welcome): asserts welcome is Extract<Welcome, { type: "welcome" }> {
  if (welcome.type === "welcome") return;
  throw new LoraFleetError("conflict", `the coordinator refuses this worker: ${welcome.reason}`);
}

/** What is announced concerns both: a job comes before a measurement. */
function announcer(host: JobHost, measuring: Measuring): (job: JobAnnouncement | null) => void {
  return (job) => {
    host.announce(job);
    measuring.settle();
  };
}

function measuringOf({ measure, ...options }: AgentOptions, link: CoordinatorLink, host: JobHost): Measuring {
  return new Measuring({
    ...options,
    ...measure === undefined ? {} : { measure: (...rest) => measure(() => link.reply, ...rest) },
    isIdle: () => host.isGpuFree,
  });
}

function heartbeatOf(
  { name, gpu }: AgentOptions,
  self: MemberRef,
  { since }: Drain,
  { maxGapMs }: EventLoopGap,
  { job }: JobHost,
  telemetry: Telemetry,
): Heartbeat {
  return { ...self, name, gpu, draining: since !== null, maxGapMs, job, ...telemetry.report() };
}
