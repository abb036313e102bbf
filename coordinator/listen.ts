/** Subscriptions whose handlers may throw: a message that no worker of ours would send is told of, and changes nothing. */
import type { z } from "zod";
import type { Bus, BusMessage, Subscription } from "../shared/bus/bus.ts";
import { decodeMessage } from "../shared/messages.ts";
import { assertSpokenBy } from "../shared/subjects.ts";

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

/** Hears what workers say for themselves: the broker vouches for the subject, and the message has to agree with it. */
export function listenToWorkers<S extends z.ZodType<{ readonly worker: string }>>(
  bus: Bus,
  { subject, schema, what, handle }: WorkerWords<S>,
  onDefect: OnDefect,
): Subscription {
  return listen(bus, subject, (message) => {
    const said = decodeMessage(schema, message.data, what);
    assertSpokenBy(message.subject, said.worker);
    handle({ said, respond: (data) => message.respond(data) });
  }, onDefect);
}
