/**
 * A worker's life in the fleet: join, heartbeats, membership, the job, leaving. It knows neither the environment nor the machine's
 * clock, so that a whole fleet can be run in one process (docs/protocol.md says what all of this has to achieve).
 */
import type { Bus } from "../../shared/bus/bus.ts";
import type { Clock } from "../../shared/clock.ts";
import { LoraFleetError, messageOf } from "../../shared/errors.ts";
import { type Limits, lostAt, recoverWaitMs } from "../../shared/protocol/limits.ts";
import {
  decodeMessage,
  encodeMessage,
  type Heartbeat,
  helloSchema,
  leaveSchema,
  type MemberRef,
  PROTOCOL_VERSION,
  receivedSchema,
  type Welcome,
  welcomeSchema,
} from "../../shared/protocol/messages.ts";
import { helloSubject, leaveSubject } from "../../shared/protocol/subjects.ts";
import { unlessAborted } from "../async/abortable.ts";
import { createChange } from "../async/change.ts";
import { measureEventLoopGap } from "./event_loop_gap.ts";
import { type Connection, type CoordinatorLinkOptions, createCoordinatorLink } from "./coordinator_link.ts";
import { type FleetFeed, listenToFleet } from "./fleet_feed.ts";
import { startHeartbeats } from "./heartbeat.ts";
import { createJobHost, type JobHostOptions } from "../job/job_host.ts";
import type { JoinReply } from "./join.ts";
import type { Log } from "../../shared/log.ts";

export interface AgentOptions
  extends
    Pick<JobHostOptions, "newEngine" | "engineLimits">,
    Pick<CoordinatorLinkOptions, "join" | "connect"> {
  /** The worker's id; the same from its start to its end. */
  readonly worker: string;
  /** For a person. */
  readonly name: string;
  readonly gpu: string;
  readonly newIncarnation: () => string;
  /** As in the job host, with the newest reply of the join URL. */
  readonly findBaseModel: (
    reply: JoinReply,
    ...rest: Parameters<JobHostOptions["findBaseModel"]>
  ) => ReturnType<JobHostOptions["findBaseModel"]>;
  readonly writeCheckpoint: (
    reply: JoinReply,
    ...rest: Parameters<JobHostOptions["writeCheckpoint"]>
  ) => ReturnType<JobHostOptions["writeCheckpoint"]>;
  readonly clock: Clock;
  readonly limits: Limits;
  readonly log: Log;
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

/** A hello that fails at once must not be repeated at once. */
const HELLO_PAUSE_MS = 50;

export function startAgent(options: AgentOptions): Agent {
  const { worker, name, gpu, clock, limits, log } = options;
  const change = createChange();
  const stopping = new AbortController();
  const gap = measureEventLoopGap(clock, limits.eventLoopTickMs, stopping.signal);
  const link = createCoordinatorLink({ ...options, signal: stopping.signal });
  const draining = Promise.withResolvers<void>();
  let drainSince: number | null = null;
  let isMember = false;
  let beat = () => {};
  const host = createJobHost({
    ...options,
    findBaseModel: (...rest) => options.findBaseModel(link.reply, ...rest),
    writeCheckpoint: (...rest) => options.writeCheckpoint(link.reply, ...rest),
    onChange: () => {
      beat();
      change.tell();
    },
    onProgress: () => change.tell(),
  });

  async function run(): Promise<void> {
    const living = live();
    try {
      await Promise.race([living, link.keepToken()]);
    } catch (thrown) {
      if (!stopping.signal.aborted) throw thrown;
    } finally {
      beat = () => {};
      stopping.abort();
      await living.catch(() => {});
      await host.close();
    }
  }

  async function live(): Promise<void> {
    for (;;) {
      const connection = await link.connect(draining.promise);
      if (connection === null) return;
      try {
        if (await serve(connection) === "left") return;
      } finally {
        host.join(null);
        await connection.close();
      }
    }
  }

  /** One membership after the other, until the worker has left or has to look for its coordinator again. */
  async function serve({ control, gradients }: Connection): Promise<"left" | "moved"> {
    const fleet = listenToFleet({ bus: control, clock, log, onChange: () => change.tell() });
    for (;;) {
      const self = { worker, incarnation: options.newIncarnation() };
      const welcome = await hello(control, self);
      if (welcome === "left") return welcome;
      if (welcome === null && fleet.silentMs > limits.coordinatorSilentMs) return "moved";
      if (welcome === null) continue;
      if (welcome.type === "refused") {
        throw new LoraFleetError("conflict", `the coordinator refuses this worker: ${welcome.reason}`);
      }
      isMember = true;
      log("info", `joined as ${worker} (${name}, ${gpu})`);
      const member = new AbortController();
      const { signal } = member;
      const describe = () => heartbeatOf(self);
      beat = startHeartbeats({
        bus: control,
        clock,
        intervalMs: limits.heartbeatIntervalMs,
        describe,
        signal,
        log,
      });
      host.join({ self, control, gradients });
      try {
        const outcome = await stay(fleet, self, welcome);
        if (outcome === "lost") log("warn", "dropped by the coordinator; rejoining");
        if (outcome === "left") await leave(control, self, "drained");
        if (outcome !== "lost") return outcome;
      } catch (thrown) {
        await leave(control, self, stopping.signal.aborted ? "stopped" : messageOf(thrown)).catch(() => {});
        throw thrown;
      } finally {
        isMember = false;
        beat = () => {};
        member.abort();
        host.join(null);
      }
    }
  }

  /** Null where nobody has answered for so long that the incarnation, if it is known, may count as lost by now. */
  async function hello(control: Bus, self: MemberRef): Promise<Welcome | "left" | null> {
    const data = encodeMessage(helloSchema, { ...self, protocolVersion: PROTOCOL_VERSION, name, gpu });
    const lostMs = lostAt(0, limits);
    const timeoutMs = Math.min(limits.requestTimeoutMs, lostMs / 4);
    const late = clock.now() + lostMs - timeoutMs;
    while (clock.now() < late) {
      if (drainSince !== null) return "left";
      try {
        const answer = control.request(helloSubject(worker), data, timeoutMs);
        return decodeMessage(
          welcomeSchema,
          await unlessAborted(answer, stopping.signal),
          "the answer to hello",
        );
      } catch (thrown) {
        stopping.signal.throwIfAborted();
        if (!isTransient(thrown)) throw thrown;
      }
      await pause(HELLO_PAUSE_MS, draining.promise);
    }
    return null;
  }

  /** Follows the fleet's state until the worker is no member any more, has to look for its coordinator, or is to leave. */
  async function stay(
    fleet: FleetFeed,
    self: MemberRef,
    welcome: Extract<Welcome, { type: "welcome" }>,
  ): Promise<"lost" | "moved" | "left"> {
    const search = { isOn: false, heardCount: -1, hasMoved: false, failure: null as unknown };
    for (;;) {
      const next = change.next();
      stopping.signal.throwIfAborted();
      if (search.failure !== null) throw search.failure;
      if (search.hasMoved) return "moved";
      const state = fleet.since(welcome);
      if (state !== null) {
        if (!state.members.some(({ incarnation }) => incarnation === self.incarnation)) return "lost";
        host.announce(state.job);
      }
      const hasOthers = (state?.members.length ?? 1) > 1;
      const isSilent = fleet.silentMs > limits.coordinatorSilentMs;
      // Without a coordinator no attempt comes to an end.
      if (drainSince !== null && (isSilent || host.mayLeave(hasOthers) || isDrainOver(drainSince))) {
        return "left";
      }
      if (isSilent && !search.isOn) {
        log(
          "warn",
          `no announcement from the coordinator for ${limits.coordinatorSilentMs / 1000} s; looking for it`,
        );
        // It may be silent because the connection is: the second time there is a new one in any case.
        const isSecond = search.heardCount === fleet.heardCount;
        Object.assign(search, { isOn: true, heardCount: fleet.heardCount });
        link.search(() => fleet.heardCount > search.heardCount).then(
          (hasMoved) => search.hasMoved = hasMoved || (isSecond && fleet.heardCount === search.heardCount),
          (thrown) => search.failure = thrown,
        ).finally(() => {
          search.isOn = false;
          fleet.restartSilence();
          change.tell();
        });
      }
      await pause(limits.announcementIntervalMs, next);
    }
  }

  function isDrainOver(since: number): boolean {
    const { job } = host.telemetry;
    const isMember = job?.phase === "loaded" && !host.mayLeave(false);
    const others = job?.phase === "loaded" ? recoverWaitMs(4 * job.layout.elementCount, limits) : 0;
    return clock.now() - since > (isMember ? limits.drainMs : Math.min(others, limits.drainMs));
  }

  async function leave(control: Bus, self: MemberRef, reason: string): Promise<void> {
    beat();
    const message = encodeMessage(leaveSchema, { ...self, reason });
    try {
      decodeMessage(
        receivedSchema,
        await control.request(leaveSubject(worker), message, limits.requestTimeoutMs),
        "the answer",
      );
      log("info", "left the fleet");
    } catch (thrown) {
      log("warn", `left without an answer from the coordinator: ${messageOf(thrown)}`);
    }
  }

  function heartbeatOf(self: MemberRef): Heartbeat {
    return { ...self, name, gpu, draining: drainSince !== null, maxGapMs: gap.maxGapMs, ...host.telemetry };
  }

  /** Until the time is up or `early` resolves. Rejects when the agent is stopped. */
  async function pause(milliseconds: number, early: Promise<void>): Promise<void> {
    const waiting = new AbortController();
    const signal = AbortSignal.any([waiting.signal, stopping.signal]);
    try {
      await Promise.race([clock.sleep(milliseconds, signal).catch(() => {}), early]);
    } finally {
      waiting.abort();
    }
    stopping.signal.throwIfAborted();
  }

  const ended = run();
  // Whoever started the agent hears of it when they ask.
  ended.catch(() => {});
  return {
    ended,
    drain: () => {
      if (drainSince === null) log("info", isMember ? DRAINING : "stopped before joining a fleet");
      drainSince ??= clock.now();
      draining.resolve();
      beat();
      change.tell();
    },
    stop: async () => {
      stopping.abort(new LoraFleetError("aborted", "the worker is ending"));
      change.tell();
      await ended.catch(() => {});
    },
  };
}

function isTransient(thrown: unknown): boolean {
  return thrown instanceof LoraFleetError && (thrown.code === "timeout" || thrown.code === "corrupt");
}
