/** Core messages of the broker in memory: who subscribes to what, and what is on its way. */
import type { Subscription } from "../bus/bus.ts";
import { createSubjectTree } from "./subject_tree.ts";

type Take = (subject: string, data: Uint8Array, reply: string | null) => void;

interface Receiver {
  readonly take: Take;
  open: boolean;
}

export class MemoryRoutes {
  readonly #receivers = createSubjectTree<Receiver>();
  readonly #deliveries: (() => void)[] = [];
  #inboxes = 0;

  /** A number that no other inbox of this broker has. */
  nextInbox(): number {
    return this.#inboxes++;
  }

  /** Runs the delivery from a microtask, so that a publisher finishes what it is doing first. */
  deliver(delivery: () => void): void {
    if (this.#deliveries.push(delivery) > 1) return;
    queueMicrotask(() => {
      // Deliveries that these add follow in the same run.
      for (const delivery of this.#deliveries) delivery();
      this.#deliveries.length = 0;
    });
  }

  /** Whether anyone subscribes to the subject. */
  send(subject: string, data: Uint8Array, reply: string | null): boolean {
    const receivers = this.#receivers.match(subject);
    if (receivers.length === 0) return false;
    // The publisher may reuse its memory; receivers only read, so that one copy is enough for thousands of them.
    const copy = new Uint8Array(data);
    for (const receiver of receivers) {
      this.deliver(() => {
        if (receiver.open) receiver.take(subject, copy, reply);
      });
    }
    return true;
  }

  listen(subject: string, take: Take): Subscription {
    const receiver: Receiver = { take, open: true };
    const remove = this.#receivers.add(subject, receiver);
    const close = () => {
      receiver.open = false;
      remove();
    };
    return { close };
  }
}
