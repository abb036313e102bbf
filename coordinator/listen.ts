/** Subscriptions whose handlers may throw: a message that no worker of ours would send is told of, and changes nothing. */
import type { Bus, BusMessage, Subscription } from "../shared/bus/bus.ts";

export type OnDefect = (message: string, thrown: unknown) => void;

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
