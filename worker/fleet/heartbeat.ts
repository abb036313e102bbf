/** The heartbeats: a worker's whole state, several times a second and at every change. */
import type { Bus } from "../../shared/bus/bus.ts";
import { messageOf } from "../../shared/errors.ts";
import { encodeMessage } from "../../shared/protocol/messages_codec.ts";
import { type Heartbeat, heartbeatSchema } from "../../shared/protocol/messages_worker.ts";
import { heartbeatSubject } from "../../shared/protocol/subjects.ts";
import type { Runtime } from "../async/runtime.ts";

interface HeartbeatOptions extends Runtime {
  readonly bus: Bus;
  readonly describe: () => Heartbeat;
  readonly signal: AbortSignal;
  /** Called after a heartbeat that the broker took. */
  readonly onBeat?: () => void;
}

/** Beats until the signal aborts. The returned function beats at once, for a change that must not wait. */
export function startHeartbeats(
  { bus, clock, limits, log, describe, signal, onBeat }: HeartbeatOptions,
): () => void {
  let isRefused = false;
  const beat = () => {
    if (signal.aborted) return;
    const heartbeat = describe();
    try {
      bus.publish(heartbeatSubject(heartbeat.worker), encodeMessage(heartbeatSchema, heartbeat));
      isRefused = false;
      onBeat?.();
    } catch (thrown) {
      if (!isRefused) log("warn", `a heartbeat is lost: ${messageOf(thrown)}`);
      isRefused = true;
    }
  };
  const repeat = async () => {
    for (;;) {
      beat();
      await clock.sleep(limits.heartbeatIntervalMs, signal);
    }
  };
  repeat().catch(() => {});
  return beat;
}
