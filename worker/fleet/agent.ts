/**
 * A worker's life in the fleet: join, heartbeats, membership, the job, leaving. It reads neither the environment nor the system
 * clock, so that a whole fleet can run in one process. docs/protocol.md says what all of this has to achieve.
 */
import { LoraFleetError, messageOf } from "../../shared/errors.ts";
import type { MemberRef } from "../../shared/protocol/messages_coordinator.ts";
import type { Heartbeat } from "../../shared/protocol/messages_worker.ts";
import { createChange } from "../async/change.ts";
import { JobHost, type JobHostOptions } from "../job/job_host.ts";
import { createTelemetry, type Telemetry } from "../step/telemetry.ts";
import { type Connection, CoordinatorLink, type CoordinatorLinkOptions } from "./coordinator_link.ts";
import { Drain } from "./drain.ts";
import { type EventLoopGap, measureEventLoopGap } from "./event_loop_gap.ts";
import { listenToFleet } from "./fleet_feed.ts";
import { startHeartbeats } from "./heartbeat.ts";
import { sayGoodbye, sayHello } from "./hello.ts";
import type { JoinReply } from "./join.ts";
import { stayMember, type StayOutcome } from "./stay_member.ts";

type WithReply<F extends (...args: never[]) => unknown> = (
  reply: JoinReply,
  ...rest: Parameters<F>
) => ReturnType<F>;

export interface AgentOptions
  extends
    Pick<JobHostOptions, "newEngine" | "engineLimits" | "clock" | "limits" | "log">,
    Pick<CoordinatorLinkOptions, "join" | "connect"> {
  /** The worker's id; the same from its start to its end. */
  readonly worker: string;
  /** For humans. */
  readonly name: string;
  readonly gpu: string;
  readonly newIncarnation: () => string;
  /** As in the job host, with the newest reply of the join URL. */
  readonly findBaseModel: WithReply<JobHostOptions["findBaseModel"]>;
  readonly writeCheckpoint: WithReply<JobHostOptions["writeCheckpoint"]>;
}

export interface Agent {
  /** Resolves when the worker has left; rejects with why it cannot stay: code `unauthorized` or `conflict`. */
  readonly ended: Promise<void>;
  /** Finishes the attempt that it takes part in, and leaves. */
  drain(): void;
  /** Leaves at once. */
  stop(): Promise<void>;
}

const DRAINING = "draining: finishes the current step, then leaves";

export function startAgent(options: AgentOptions): Agent {
  return new FleetAgent(options);
}

class FleetAgent implements Agent {
  readonly ended: Promise<void>;
  readonly #options: AgentOptions;
  readonly #change = createChange();
  readonly #stopping = new AbortController();
  readonly #gap: EventLoopGap;
  readonly #link: CoordinatorLink;
  readonly #drain: Drain;
  readonly #telemetry: Telemetry;
  readonly #host: JobHost;
  #isMember = false;
  /** Sends a heartbeat at once. */
  #beat = () => {};

  constructor(options: AgentOptions) {
    const { clock, limits } = options;
    this.#options = options;
    this.#gap = measureEventLoopGap(clock, limits.eventLoopTickMs, this.#stopping.signal);
    this.#link = new CoordinatorLink({ ...options, signal: this.#stopping.signal });
    this.#drain = new Drain(clock, limits);
    this.#telemetry = createTelemetry(clock);
    this.#host = new JobHost({
      ...options,
      telemetry: this.#telemetry,
      findBaseModel: (...rest) => options.findBaseModel(this.#link.reply, ...rest),
      writeCheckpoint: (...rest) => options.writeCheckpoint(this.#link.reply, ...rest),
      onChange: () => {
        this.#beat();
        this.#change.tell();
      },
      onProgress: () => this.#change.tell(),
    });
    this.ended = this.#run();
    // A rejection reaches those who await `ended`; until then it is not unhandled.
    this.ended.catch(() => {});
  }

  drain(): void {
    if (this.#drain.since === null) {
      this.#options.log("info", this.#isMember ? DRAINING : "stopped before joining a fleet");
    }
    this.#drain.start();
    this.#beat();
    this.#change.tell();
  }

  async stop(): Promise<void> {
    this.#stopping.abort(new LoraFleetError("aborted", "the worker is ending"));
    this.#change.tell();
    await this.ended.catch(() => {});
  }

  async #run(): Promise<void> {
    const living = this.#live();
    try {
      await Promise.race([living, this.#link.keepToken()]);
    } catch (thrown) {
      if (!this.#stopping.signal.aborted) throw thrown;
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

  /** One membership after the other, until the worker has left or has to look for its coordinator again. */
  async #serve(connection: Connection): Promise<"left" | "moved"> {
    const { worker, name, gpu, clock, limits, log } = this.#options;
    const { control: bus } = connection;
    const onChange = () => this.#change.tell();
    const fleet = listenToFleet({ bus, clock, log, onChange });
    const signal = this.#stopping.signal;
    for (;;) {
      const self = { worker, incarnation: this.#options.newIncarnation() };
      const welcome = await sayHello({ bus, clock, limits, self, name, gpu, signal, drain: this.#drain });
      if (welcome === "left") return welcome;
      if (welcome === null && fleet.silentMs > limits.coordinatorSilentMs) return "moved";
      if (welcome === null) continue;
      if (welcome.type === "refused") {
        throw new LoraFleetError("conflict", `the coordinator refuses this worker: ${welcome.reason}`);
      }
      log("info", `joined as ${worker} (${name}, ${gpu})`);
      const stay = () =>
        stayMember({
          ...{ clock, limits, log, self, welcome, fleet, signal, link: this.#link, change: this.#change },
          onJob: (job) => this.#host.announce(job),
          isDrained: (hasOthers, isSilent) => this.#drain.isOver(this.#host, hasOthers, isSilent),
        });
      const outcome = await this.#beMember(connection, self, stay);
      if (outcome !== "lost") return outcome;
    }
  }

  /** With heartbeats and a part in the job while `stay` lasts; says goodbye unless the coordinator has dropped the worker. */
  async #beMember(
    { control: bus, gradients }: Connection,
    self: MemberRef,
    stay: () => Promise<StayOutcome>,
  ): Promise<StayOutcome> {
    const { clock, limits, log } = this.#options;
    const intervalMs = limits.heartbeatIntervalMs;
    const member = new AbortController();
    const leave = (reason: string) => {
      this.#beat();
      return sayGoodbye(bus, self, reason, limits, log);
    };
    this.#isMember = true;
    const describe = () => this.#heartbeatOf(self);
    this.#beat = startHeartbeats({ bus, clock, intervalMs, describe, signal: member.signal, log });
    this.#host.join({ self, control: bus, gradients });
    try {
      const outcome = await stay();
      if (outcome === "lost") log("warn", "dropped by the coordinator; rejoining");
      if (outcome === "left") await leave("drained");
      return outcome;
    } catch (thrown) {
      await leave(this.#stopping.signal.aborted ? "stopped" : messageOf(thrown)).catch(() => {});
      throw thrown;
    } finally {
      this.#isMember = false;
      this.#beat = () => {};
      member.abort();
      this.#host.join(null);
    }
  }

  #heartbeatOf(self: MemberRef): Heartbeat {
    const { name, gpu } = this.#options;
    const draining = this.#drain.since !== null;
    const { maxGapMs } = this.#gap;
    return { ...self, name, gpu, draining, maxGapMs, job: this.#host.job, ...this.#telemetry.report() };
  }
}
