/**
 * A worker's life in the fleet: join, heartbeats, membership, the job, leaving. It knows neither the environment nor the machine's
 * clock, so that a whole fleet can be run in one process (docs/protocol.md says what all of this has to achieve).
 */
import type { Bus } from "../shared/bus/bus.ts";
import type { Clock } from "../shared/clock.ts";
import { LoraFleetError, messageOf } from "../shared/errors.ts";
import { type Limits, lostAt, recoverWaitMs } from "../shared/limits.ts";
import {
  decodeMessage,
  encodeMessage,
  type FleetState,
  fleetStateSchema,
  type Heartbeat,
  helloSchema,
  leaveSchema,
  type MemberRef,
  PROTOCOL_VERSION,
  receivedSchema,
  type Welcome,
  welcomeSchema,
} from "../shared/messages.ts";
import { FLEET_SUBJECT, HELLO_SUBJECT, LEAVE_SUBJECT } from "../shared/subjects.ts";
import { unlessAborted } from "./abortable.ts";
import { createChange } from "./change.ts";
import { measureEventLoopGap } from "./event_loop_gap.ts";
import { startHeartbeats } from "./heartbeat.ts";
import { createJobHost, type JobHostOptions } from "./job_host.ts";
import { type JoinReply, sameBroker } from "./join.ts";
import type { Log } from "./log.ts";

export interface AgentOptions extends Pick<JobHostOptions, "newEngine" | "engineLimits"> {
  /** The worker's id; the same from its start to its end. */
  readonly worker: string;
  /** For a person. */
  readonly name: string;
  readonly gpu: string;
  readonly newIncarnation: () => string;
  /** Asks the join URL once. Code `unauthorized` ends the worker, anything else is tried again. */
  readonly join: (signal: AbortSignal) => Promise<JoinReply>;
  /** Connects to the broker; two connections, so that heartbeats do not queue behind megabytes. */
  readonly connect: (reply: JoinReply, purpose: "control" | "gradients") => Promise<Bus>;
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

/** A hello that fails at once must not be repeated at once. */
const HELLO_PAUSE_MS = 50;

interface Connection {
  readonly control: Bus;
  readonly gradients: Bus;
  close(): Promise<void>;
}

export function startAgent(options: AgentOptions): Agent {
  const { worker, name, gpu, clock, limits, log } = options;
  const change = createChange();
  const stopping = new AbortController();
  const gap = measureEventLoopGap(clock, limits.eventLoopTickMs, stopping.signal);
  let reply: JoinReply | null = null;
  let drainSince: number | null = null;
  let beat = () => {};
  const host = createJobHost({
    ...options,
    findBaseModel: (...rest) => options.findBaseModel(reply!, ...rest),
    writeCheckpoint: (...rest) => options.writeCheckpoint(reply!, ...rest),
    onChange: () => {
      beat();
      change.tell();
    },
    onProgress: () => change.tell(),
  });

  async function run(): Promise<void> {
    try {
      for (;;) {
        const connection = await connect();
        if (connection === null) return;
        try {
          if (await serve(connection) === "left") return;
        } finally {
          host.join(null);
          await connection.close();
        }
      }
    } catch (thrown) {
      if (!stopping.signal.aborted) throw thrown;
    } finally {
      beat = () => {};
      stopping.abort();
      await host.close();
    }
  }

  /** Tries until there are connections; null where the worker is to end before. */
  async function connect(): Promise<Connection | null> {
    for (let said = "";;) {
      if (drainSince !== null) return null;
      try {
        reply = await options.join(stopping.signal);
        return await connectTo(reply);
      } catch (thrown) {
        if (isFinal(thrown)) throw thrown;
        stopping.signal.throwIfAborted();
        // The same again every two seconds would bury what matters.
        if (said !== messageOf(thrown)) log("warn", `${said = messageOf(thrown)}; trying again`);
      }
      await pause(limits.retryIntervalMs);
    }
  }

  async function connectTo(reply: JoinReply): Promise<Connection> {
    const control = await options.connect(reply, "control");
    try {
      const gradients = await options.connect(reply, "gradients");
      const close = async () => void await Promise.all([control.close(), gradients.close()]);
      return { control, gradients, close };
    } catch (thrown) {
      await control.close();
      throw thrown;
    }
  }

  /** One membership after the other, until the worker has left or has to look for its coordinator again. */
  async function serve({ control, gradients }: Connection): Promise<"left" | "moved"> {
    const fleet = listenToFleet(control);
    for (;;) {
      const self = { worker, incarnation: options.newIncarnation() };
      const welcome = await hello(control, self);
      if (welcome === "left") return welcome;
      if (welcome === null && clock.now() - fleet.heardAt > limits.coordinatorSilentMs) return "moved";
      if (welcome === null) continue;
      if (welcome.type === "refused") {
        throw new LoraFleetError("conflict", `the coordinator refuses this worker: ${welcome.reason}`);
      }
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
        const outcome = await stay(fleet, self, welcome.generation);
        if (outcome === "lost") log("warn", "the coordinator has given this worker up: it joins again");
        if (outcome === "left") await leave(control, self, "drained");
        if (outcome !== "lost") return outcome;
      } catch (thrown) {
        await leave(control, self, stopping.signal.aborted ? "stopped" : messageOf(thrown)).catch(() => {});
        throw thrown;
      } finally {
        beat = () => {};
        member.abort();
        host.join(null);
      }
    }
  }

  /** Null where nobody has answered for so long that the incarnation, if it is known, may count as lost by now. */
  async function hello(control: Bus, self: MemberRef): Promise<Welcome | "left" | null> {
    const data = encodeMessage(helloSchema, { ...self, protocolVersion: PROTOCOL_VERSION, name, gpu });
    const late = lostAt(clock.now(), limits) - limits.requestTimeoutMs;
    while (clock.now() < late) {
      if (drainSince !== null) return "left";
      try {
        const answer = control.request(HELLO_SUBJECT, data, limits.requestTimeoutMs);
        return decodeMessage(
          welcomeSchema,
          await unlessAborted(answer, stopping.signal),
          "the answer to hello",
        );
      } catch (thrown) {
        stopping.signal.throwIfAborted();
        if (!isTransient(thrown)) throw thrown;
      }
      await pause(HELLO_PAUSE_MS);
    }
    return null;
  }

  interface FleetFeed {
    newest: FleetState | null;
    heardAt: number;
    /** How often the join URL was asked since then. */
    asked: number;
  }

  function listenToFleet(control: Bus): FleetFeed {
    const feed: FleetFeed = { newest: null, heardAt: clock.now(), asked: 0 };
    control.subscribe(FLEET_SUBJECT, ({ data }) => {
      const state = decodeMessage(fleetStateSchema, data, "the state of the fleet");
      feed.heardAt = clock.now();
      feed.asked = 0;
      if (feed.newest !== null && state.generation < feed.newest.generation) return;
      feed.newest = state;
      change.tell();
    });
    return feed;
  }

  /** Follows the fleet's state until the worker is no member any more, has to look for its coordinator, or is to leave. */
  async function stay(
    fleet: FleetFeed,
    self: MemberRef,
    generation: number,
  ): Promise<"lost" | "moved" | "left"> {
    const search = { isOn: false, hasMoved: false, failure: null as unknown };
    for (;;) {
      const next = change.next();
      stopping.signal.throwIfAborted();
      if (search.failure !== null) throw search.failure;
      if (search.hasMoved) return "moved";
      // An announcement from before the welcome does not know the worker yet.
      const state = fleet.newest !== null && fleet.newest.generation >= generation ? fleet.newest : null;
      if (state !== null) {
        const isKnown = state.members.some(({ incarnation }) => incarnation === self.incarnation);
        if (!isKnown) return "lost";
        host.announce(state.job);
      }
      const hasOthers = (state?.members.length ?? 1) > 1;
      if (drainSince !== null && (host.mayLeave(hasOthers) || isDrainOver(drainSince))) return "left";
      if (clock.now() - fleet.heardAt > limits.coordinatorSilentMs && !search.isOn) {
        log("warn", `nothing heard of the coordinator for ${limits.coordinatorSilentMs / 1000} s`);
        search.isOn = true;
        searchCoordinator(fleet).then(
          (hasMoved) => search.hasMoved = hasMoved,
          (thrown) => search.failure = thrown,
        ).finally(() => {
          search.isOn = false;
          change.tell();
        });
      }
      await pause(limits.announcementIntervalMs, next);
    }
  }

  /** Asks the join URL again, until it answers or the coordinator is heard after all. Whether new connections are needed. */
  async function searchCoordinator(fleet: FleetFeed): Promise<boolean> {
    const { heardAt } = fleet;
    for (;;) {
      try {
        const before = reply!;
        reply = await options.join(stopping.signal);
        // It may be silent because the connection is: the second time there is a new one.
        if (!sameBroker(before, reply) || fleet.asked > 0) return true;
        fleet.asked++;
        fleet.heardAt = clock.now();
        return false;
      } catch (thrown) {
        stopping.signal.throwIfAborted();
        if (isFinal(thrown)) throw thrown;
      }
      await pause(limits.retryIntervalMs);
      if (fleet.heardAt > heardAt) return false;
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
        await control.request(LEAVE_SUBJECT, message, limits.requestTimeoutMs),
        "the answer",
      );
      log("info", "left the fleet");
    } catch (thrown) {
      log("warn", `the coordinator has not heard that this worker leaves: ${messageOf(thrown)}`);
    }
  }

  function heartbeatOf(self: MemberRef): Heartbeat {
    return { ...self, name, gpu, draining: drainSince !== null, maxGapMs: gap.maxGapMs, ...host.telemetry };
  }

  /** Until the time is up or `early` resolves. Rejects when the agent is stopped. */
  async function pause(milliseconds: number, early: Promise<void> = change.next()): Promise<void> {
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
      drainSince ??= clock.now();
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

/** A token that is refused now is refused for ever. */
function isFinal(thrown: unknown): boolean {
  return thrown instanceof LoraFleetError && thrown.code === "unauthorized" && thrown.param === "join";
}

function isTransient(thrown: unknown): boolean {
  return thrown instanceof LoraFleetError && (thrown.code === "timeout" || thrown.code === "corrupt");
}
