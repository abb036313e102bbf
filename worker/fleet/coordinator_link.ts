/** The link to the coordinator: the join URL, the connections behind it, and the search for a silent coordinator. */
import type { Bus } from "../../shared/bus/bus.ts";
import { LoraFleetError, messageOf } from "../../shared/errors.ts";
import { pauseUnless } from "../async/pause.ts";
import type { Runtime } from "../async/runtime.ts";
import { type JoinReply, sameBroker } from "./join.ts";

export interface CoordinatorLinkOptions extends Runtime {
  /** Asks the join URL once, with the worker's current token. Code `unauthorized` ends the worker; other failures are retried. */
  readonly join: (signal: AbortSignal, token: string | null) => Promise<JoinReply>;
  /** Connects to the broker: twice, so that heartbeats do not queue behind megabytes. `newestToken` is for reconnecting. */
  readonly connect: (
    reply: JoinReply,
    purpose: "control" | "gradients",
    newestToken: () => string,
  ) => Promise<Bus>;
  /** Ends the worker. */
  readonly signal: AbortSignal;
}

export interface Connection {
  readonly control: Bus;
  readonly gradients: Bus;
  close(): Promise<void>;
}

/** So that a machine checks its token soon after it wakes from sleep. */
const CHECK_TOKEN_MS = 60_000;

export class CoordinatorLink {
  readonly #options: CoordinatorLinkOptions;
  #reply: JoinReply | null = null;
  #renewAt = Infinity;

  constructor(options: CoordinatorLinkOptions) {
    this.#options = options;
  }

  /** The newest reply of the join URL. */
  get reply(): JoinReply {
    return this.#reply!;
  }

  /** Renews the token at half of its lifetime. Rejects if the renewal is refused, or with the signal's reason. */
  async keepToken(): Promise<never> {
    const { clock, limits, signal } = this.#options;
    for (;;) {
      const dueMs = Math.max(limits.retryIntervalMs, this.#renewAt - clock.now());
      await clock.sleep(Math.min(CHECK_TOKEN_MS, dueMs), signal);
      if (clock.now() < this.#renewAt) continue;
      try {
        await this.#join();
      } catch (thrown) {
        this.#throwIfFinal(thrown);
      }
    }
  }

  /** Retries until connected; null if `cancelled` resolves first. */
  async connect(cancelled: Promise<void>): Promise<Connection | null> {
    const { clock, limits, log, signal } = this.#options;
    const isCancelled = cancelled.then(() => null);
    for (let reported = "";;) {
      const attempt = this.#connectOnce();
      try {
        const connection = await Promise.race([attempt, isCancelled]);
        if (connection === null) attempt.then(({ close }) => close(), () => {});
        return connection;
      } catch (thrown) {
        this.#throwIfFinal(thrown);
        // Repeated every two seconds, the same line would bury the rest of the log.
        if (reported !== messageOf(thrown)) log("warn", `${reported = messageOf(thrown)}; trying again`);
      }
      if (await pauseUnless(clock, limits.retryIntervalMs, cancelled, signal)) return null;
    }
  }

  /**
   * Asks the join URL until it answers, or until the coordinator is heard after all. Returns whether its broker has changed, so
   * that new connections are needed.
   */
  async search(isHeard: () => boolean): Promise<boolean> {
    const { clock, limits, signal } = this.#options;
    while (!isHeard()) {
      try {
        const before = this.reply;
        return !sameBroker(before, await this.#join());
      } catch (thrown) {
        this.#throwIfFinal(thrown);
      }
      await clock.sleep(limits.retryIntervalMs, signal);
    }
    return false;
  }

  async #join(): Promise<JoinReply> {
    const { join, signal, clock } = this.#options;
    const reply = await join(signal, this.#reply?.token ?? null);
    this.#renewAt = clock.now() + (reply.tokenLifetimeMs ?? Infinity) / 2;
    return this.#reply = reply;
  }

  async #connectOnce(): Promise<Connection> {
    const { connect } = this.#options;
    const to = await this.#join();
    const newestToken = () => this.reply.token;
    const control = await connect(to, "control", newestToken);
    try {
      const gradients = await connect(to, "gradients", newestToken);
      const close = async () => void await Promise.all([control.close(), gradients.close()]);
      return { control, gradients, close };
    } catch (thrown) {
      await control.close();
      throw thrown;
    }
  }

  /** A token that is refused now will be refused later. */
  #throwIfFinal(thrown: unknown): void {
    this.#options.signal.throwIfAborted();
    if (thrown instanceof LoraFleetError && thrown.code === "unauthorized" && thrown.param === "join") {
      throw thrown;
    }
  }
}
