/** Subscriptions whose handlers may throw: a message that no worker of ours would send is reported and ignored. */
import type { z } from "zod";
import type { Bus, BusMessage, Subscription } from "../../shared/bus/bus.ts";
import { decodeMessage } from "../../shared/protocol/messages_codec.ts";
import { assertSpokenBy, senderOf } from "../../shared/protocol/subjects.ts";
import type { FloodGuard } from "./flood_guard.ts";

export type OnDefect = (message: string, thrown: unknown) => void;

/** A message whose payload names the worker of its subject. */
export interface WorkerMessage<T> {
  readonly payload: T;
  respond(data: Uint8Array): void;
}

export interface WorkerMessages<S extends z.ZodType<{ readonly worker: string }>> {
  /** Its last part is the sending worker. */
  readonly subject: string;
  readonly schema: S;
  /** For error messages: "report of a micro-batch". */
  readonly what: string;
  /** Far above the size of such a message; default 64 KiB. */
  readonly maxBytes?: number;
  readonly handle: (message: WorkerMessage<z.output<S>>) => void;
}

export function listen(
  bus: Bus,
  subject: string,
  handle: (message: BusMessage) => void,
  onDefect: OnDefect,
): Subscription {
  return bus.subscribe(subject, (message) => {
    try {
      handle(message);
    } catch (thrown) {
      onDefect(`a message to ${message.subject} is ignored`, thrown);
    }
  });
}

/** A message of a kilobyte or two, with texts of 4,000 characters in it, or the ids of a thousand workers. */
const DEFAULT_MAX_BYTES = 64 * 1024;

/** The broker vouches for a subject's worker; a message whose payload names a different one is ignored. */
export function listenToWorkers<S extends z.ZodType<{ readonly worker: string }>>(
  bus: Bus,
  { subject, schema, what, handle, maxBytes = DEFAULT_MAX_BYTES }: WorkerMessages<S>,
  guard: FloodGuard,
): Subscription {
  return bus.subscribe(subject, (message) => {
    const { data } = message;
    const worker = senderOf(message.subject);
    if (!guard.admits(worker, message.subject, data.byteLength, maxBytes)) return;
    try {
      const payload = decodeMessage(schema, data, what);
      assertSpokenBy(message.subject, payload.worker);
      handle({ payload, respond: (data) => message.respond(data) });
    } catch (thrown) {
      guard.bad(worker, message.subject, thrown, data.byteLength);
    }
  });
}
