/** Subscriptions whose handlers may throw: a message that no worker of ours would send is told of, and changes nothing. */
import type { z } from "zod";
import type { Bus, BusMessage, Subscription } from "../../shared/bus/bus.ts";
import { decodeMessage } from "../../shared/protocol/messages.ts";
import { assertSpokenBy, senderOf } from "../../shared/protocol/subjects.ts";
import type { FloodGuard } from "./flood_guard.ts";

export type OnDefect = (message: string, thrown: unknown) => void;

/** What a worker has said in its own name. */
export interface Word<T> {
  readonly said: T;
  /** Answers it. */
  respond(data: Uint8Array): void;
}

export interface WorkerWords<S extends z.ZodType<{ readonly worker: string }>> {
  /** The last part stands for the worker who speaks. */
  readonly subject: string;
  readonly schema: S;
  /** For messages: "report of a micro-batch". */
  readonly what: string;
  /** Far above what a message of this kind has; 64 KiB. */
  readonly maxBytes?: number;
  readonly handle: (word: Word<z.output<S>>) => void;
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

/** Hears what workers say for themselves: the broker vouches for the subject, and the message has to agree with it. */
export function listenToWorkers<S extends z.ZodType<{ readonly worker: string }>>(
  bus: Bus,
  { subject, schema, what, handle, maxBytes = DEFAULT_MAX_BYTES }: WorkerWords<S>,
  guard: FloodGuard,
): Subscription {
  return bus.subscribe(subject, (message) => {
    const { data } = message;
    const worker = senderOf(message.subject);
    if (!guard.admits(worker, message.subject, data.byteLength, maxBytes)) return;
    try {
      const said = decodeMessage(schema, data, what);
      assertSpokenBy(message.subject, said.worker);
      handle({ said, respond: (data) => message.respond(data) });
    } catch (thrown) {
      guard.bad(worker, message.subject, thrown, data.byteLength);
    }
  });
}
