/** The way to the coordinator: the join URL, the connections that it leads to, and looking for it again when it is silent. */
import type { Bus } from "../../shared/bus/bus.ts";
import type { Clock } from "../../shared/clock.ts";
import { LoraFleetError, messageOf } from "../../shared/errors.ts";
import type { Limits } from "../../shared/protocol/limits.ts";
import { pauseUnless } from "../async/pause.ts";
import { type JoinReply, sameBroker } from "./join.ts";
import type { Log } from "../../shared/log.ts";

export interface CoordinatorLinkOptions {
  /**
   * Asks the join URL once, with the token that the worker has. Code `unauthorized` ends the worker, anything else is tried
   * again.
   */
  readonly join: (signal: AbortSignal, token: string | null) => Promise<JoinReply>;
  /**
   * Connects to the broker; two connections, so that heartbeats do not queue behind megabytes. `newestToken` is for when it
   * connects again.
   */
  readonly connect: (
    reply: JoinReply,
    purpose: "control" | "gradients",
    newestToken: () => string,
  ) => Promise<Bus>;
  readonly clock: Clock;
  readonly limits: Limits;
  readonly log: Log;
  /** Ends the worker. */
  readonly signal: AbortSignal;
}

export interface Connection {
  readonly control: Bus;
  readonly gradients: Bus;
  close(): Promise<void>;
}

export interface CoordinatorLink {
  /** What the join URL has answered last. */
  readonly reply: JoinReply;
  /** Tries until there are connections, or until `cancelled` resolves: null. */
  connect(cancelled: Promise<void>): Promise<Connection | null>;
  /**
   * Asks the join URL until it answers, or until the coordinator is heard after all. Whether its broker is another one, so
   * that new connections are needed.
   */
  search(isHeard: () => boolean): Promise<boolean>;
  /** Asks for the next token at half of each one's life. Rejects where it is refused, or with the signal's reason. */
  keepToken(): Promise<never>;
}

/** A machine that has slept looks at its token soon after it wakes. */
const CHECK_TOKEN_MS = 60_000;

export function createCoordinatorLink(options: CoordinatorLinkOptions): CoordinatorLink {
  const { clock, limits, log, signal } = options;
  let reply: JoinReply | null = null;
  let renewAt = Infinity;

  async function join(): Promise<JoinReply> {
    const next = await options.join(signal, reply?.token ?? null);
    renewAt = clock.now() + (next.tokenLifetimeMs ?? Infinity) / 2;
    return reply = next;
  }

  async function keepToken(): Promise<never> {
    for (;;) {
      await clock.sleep(
        Math.min(CHECK_TOKEN_MS, Math.max(limits.retryIntervalMs, renewAt - clock.now())),
        signal,
      );
      if (clock.now() < renewAt) continue;
      try {
        await join();
      } catch (thrown) {
        throwIfFinal(thrown);
      }
    }
  }

  async function connectOnce(): Promise<Connection> {
    const to = await join();
    const newestToken = () => reply!.token;
    const control = await options.connect(to, "control", newestToken);
    try {
      const gradients = await options.connect(to, "gradients", newestToken);
      const close = async () => void await Promise.all([control.close(), gradients.close()]);
      return { control, gradients, close };
    } catch (thrown) {
      await control.close();
      throw thrown;
    }
  }

  async function connect(cancelled: Promise<void>): Promise<Connection | null> {
    const isCancelled = cancelled.then(() => null);
    for (let reported = "";;) {
      const attempt = connectOnce();
      try {
        const connection = await Promise.race([attempt, isCancelled]);
        if (connection === null) attempt.then(({ close }) => close(), () => {});
        return connection;
      } catch (thrown) {
        throwIfFinal(thrown);
        // Repeated every two seconds, the same line would bury what matters.
        if (reported !== messageOf(thrown)) log("warn", `${reported = messageOf(thrown)}; trying again`);
      }
      if (await pauseUnless(clock, limits.retryIntervalMs, cancelled, signal)) return null;
    }
  }

  async function search(isHeard: () => boolean): Promise<boolean> {
    while (!isHeard()) {
      try {
        const before = reply!;
        return !sameBroker(before, await join());
      } catch (thrown) {
        throwIfFinal(thrown);
      }
      await clock.sleep(limits.retryIntervalMs, signal);
    }
    return false;
  }

  /** A token that is refused now is refused for ever. */
  function throwIfFinal(thrown: unknown): void {
    signal.throwIfAborted();
    if (thrown instanceof LoraFleetError && thrown.code === "unauthorized" && thrown.param === "join") {
      throw thrown;
    }
  }

  return {
    get reply() {
      return reply!;
    },
    connect,
    search,
    keepToken,
  };
}
