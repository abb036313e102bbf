/** The heartbeats: a worker's whole state, several times a second and at every change. */
import type { Bus } from "../../shared/bus/bus.ts";
import type { Clock } from "../../shared/clock.ts";
import { messageOf } from "../../shared/errors.ts";
import { encodeMessage } from "../../shared/protocol/messages_codec.ts";
import { type Heartbeat, heartbeatSchema } from "../../shared/protocol/messages_worker.ts";
import { heartbeatSubject } from "../../shared/protocol/subjects.ts";
import type { Log } from "../../shared/log.ts";

interface HeartbeatOptions {
  readonly bus: Bus;
  readonly clock: Clock;
  readonly intervalMs: number;
  /** The state as it is now. */
  readonly describe: () => Heartbeat;
  readonly signal: AbortSignal;
  readonly log: Log;
}

/** Beats until the signal aborts. The returned function beats at once, for a change that nobody should wait for. */
export function startHeartbeats(options: HeartbeatOptions): () => void {
  const { bus, clock, intervalMs, describe, signal, log } = options;
  let isRefused = false;
  const beat = () => {
    if (signal.aborted) return;
    const heartbeat = describe();
    try {
      bus.publish(heartbeatSubject(heartbeat.worker), encodeMessage(heartbeatSchema, heartbeat));
      isRefused = false;
    } catch (thrown) {
      if (!isRefused) log("warn", `a heartbeat is lost: ${messageOf(thrown)}`);
      isRefused = true;
    }
  };
  const goOn = async () => {
    for (;;) {
      beat();
      await clock.sleep(intervalMs, signal);
    }
  };
  goOn().catch(() => {});
  return beat;
}
