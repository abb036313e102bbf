/** Entering the fleet and leaving it. */
import type { Bus } from "../../shared/bus/bus.ts";
import { messageOf } from "../../shared/errors.ts";
import { lostAt } from "../../shared/protocol/limits.ts";
import { decodeMessage, encodeMessage } from "../../shared/protocol/messages_codec.ts";
import type { MemberRef, Welcome } from "../../shared/protocol/messages_coordinator.ts";
import { receivedSchema, welcomeSchema } from "../../shared/protocol/messages_coordinator.ts";
import { helloSchema, leaveSchema, PROTOCOL_VERSION } from "../../shared/protocol/messages_worker.ts";
import { helloSubject, leaveSubject } from "../../shared/protocol/subjects.ts";
import { unlessAborted } from "../async/abortable.ts";
import { isRetryable } from "../async/ask.ts";
import { pauseUnless } from "../async/pause.ts";
import type { Runtime } from "../async/runtime.ts";
import type { Drain } from "./drain.ts";

/** A hello that fails at once must not be repeated at once. */
const HELLO_PAUSE_MS = 50;

interface HelloOptions extends Runtime {
  readonly bus: Bus;
  readonly self: MemberRef;
  readonly name: string;
  readonly gpu: string;
  /** Aborts when the worker stops. */
  readonly signal: AbortSignal;
  readonly drain: Drain;
}

/** Null once the incarnation, if the coordinator knows it, may count as lost for want of an answer. */
export async function sayHello(options: HelloOptions): Promise<Welcome | "left" | null> {
  const { bus, clock, limits, self, name, gpu, signal, drain } = options;
  const data = encodeMessage(helloSchema, { ...self, protocolVersion: PROTOCOL_VERSION, name, gpu });
  const lostMs = lostAt(0, limits);
  const timeoutMs = Math.min(limits.requestTimeoutMs, lostMs / 4);
  const giveUpAt = clock.now() + lostMs - timeoutMs;
  while (clock.now() < giveUpAt) {
    if (drain.since !== null) return "left";
    try {
      const answer = bus.request(helloSubject(self.worker), data, timeoutMs);
      return decodeMessage(welcomeSchema, await unlessAborted(answer, signal), "the answer to hello");
    } catch (thrown) {
      signal.throwIfAborted();
      if (!isRetryable(thrown)) throw thrown;
    }
    await pauseUnless(clock, HELLO_PAUSE_MS, drain.started, signal);
  }
  return null;
}

export async function sayGoodbye(
  bus: Bus,
  self: MemberRef,
  reason: string,
  { limits, log }: Runtime,
): Promise<void> {
  const message = encodeMessage(leaveSchema, { ...self, reason });
  try {
    const answer = await bus.request(leaveSubject(self.worker), message, limits.requestTimeoutMs);
    decodeMessage(receivedSchema, answer, "the answer to leave");
    log("info", "left the fleet");
  } catch (thrown) {
    log("warn", `left without an answer from the coordinator: ${messageOf(thrown)}`);
  }
}
