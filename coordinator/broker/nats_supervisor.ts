/** Keeps our own broker running: restarts it after a crash, on its port and its streams, a few times. */
import type { Clock } from "../../shared/clock.ts";
import { LoraFleetError, messageOf } from "../../shared/errors.ts";
import type { NatsServer } from "./nats_server.ts";

export interface SupervisedNatsServer extends Pick<NatsServer, "port" | "url" | "version"> {
  /** Of the server that runs now, or ran last. */
  webSocketPort(): number | null;
  /** Resolves with its last log lines when it is no longer restarted. */
  readonly ended: Promise<string>;
  /** Replaces the running server and logs the reason. Resolves when the old one has ended. */
  restart(reason: string): Promise<void>;
  stop(): Promise<void>;
}

export interface SupervisorOptions {
  /** Starts it on a port; 0 for any. Rejects if it does not become ready. */
  readonly start: (port: number) => Promise<NatsServer>;
  readonly clock: Clock;
  readonly log: (level: "info" | "warn", message: string) => void;
}

/** Waits before the first, second, … restart; after one more death within the window the broker is given up. */
const BACK_OFF_MS = [100, 500, 1000, 2000, 4000] as const;
const WINDOW_MS = 60_000;
/** Between attempts while its disk is full, which is not a death and may last. */
const ROOM_WAIT_MS = 2000;
/** A stuck broker has nothing to write back, and may not end by itself. */
const RESTART_GRACE_MS = 2000;

/** How long to wait before the next start, after deaths at these times; null: give up. */
export function backOffMs(deaths: readonly number[], now: number): number | null {
  const recent = deaths.filter((at) => now - at < WINDOW_MS).length;
  return BACK_OFF_MS[Math.max(0, recent - 1)] ?? null;
}

export async function superviseNatsServer(
  port: number,
  { start, clock, log }: SupervisorOptions,
): Promise<SupervisedNatsServer> {
  const stopping = new AbortController();
  const first = await start(port);
  let current = first;
  let asked: string | null = null;

  async function supervise(): Promise<string> {
    const deaths: number[] = [];
    for (;;) {
      let reason = await current.ended;
      let cause: "died" | "asked" | "no room" = asked === null ? "died" : "asked";
      reason = asked ?? reason;
      asked = null;
      for (let isUp = false; !isUp;) {
        if (stopping.signal.aborted) return reason;
        if (cause === "died") deaths.push(clock.now());
        const waitMs = { died: backOffMs(deaths, clock.now()), asked: 0, "no room": ROOM_WAIT_MS }[cause];
        if (waitMs === null) return `${reason}; it has ended ${deaths.length} times and is not restarted`;
        if (cause !== "no room") log("warn", `${reason}; restarting it on port ${first.port}`);
        try {
          await clock.sleep(waitMs, stopping.signal);
          current = await start(first.port);
          isUp = true;
          log("info", `nats-server listens on port ${first.port} again`);
        } catch (thrown) {
          reason = messageOf(thrown);
          const isFull = thrown instanceof LoraFleetError && thrown.code === "storage";
          if (isFull && cause !== "no room") {
            log("warn", `${reason}; nats-server is started as soon as there is room`);
          }
          cause = isFull ? "no room" : "died";
        }
      }
      if (stopping.signal.aborted) await current.stop();
    }
  }
  const ended = supervise();

  return {
    port: first.port,
    url: first.url,
    version: first.version,
    webSocketPort: () => current.webSocketPort,
    ended,
    async restart(reason) {
      asked = reason;
      await current.stop(RESTART_GRACE_MS);
    },
    async stop() {
      stopping.abort();
      await current.stop();
      await ended;
    },
  };
}
