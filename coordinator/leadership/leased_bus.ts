/** The bus of a coordinator that leads: mute and deaf while it is not certain to lead, and for ever when it is over. */
import type { Bus, Lease } from "../../shared/bus/bus.ts";
import type { Clock } from "../../shared/clock.ts";

/** How often it is looked whether the lease is held again. */
const CHECK_MS = 100;

/**
 * Messages that are published meanwhile are lost, as the broker may lose any; messages that come are not heard, so that
 * nobody gets an answer. What is to be stored waits, and rejects with the reason of `over`.
 */
export function leasedBus(bus: Bus, lease: Pick<Lease, "isHeld">, clock: Clock, over: AbortSignal): Bus {
  const mayAct = () => !over.aborted && lease.isHeld();

  async function whenHeld<T>(act: () => Promise<T>): Promise<T> {
    over.throwIfAborted();
    while (!mayAct()) await clock.sleep(CHECK_MS, over);
    return await act();
  }

  return {
    get maxPayloadBytes() {
      return bus.maxPayloadBytes;
    },
    publish: (subject, data) => {
      if (mayAct()) bus.publish(subject, data);
    },
    subscribe: (subject, handler) =>
      bus.subscribe(subject, (message) => {
        if (!mayAct()) return;
        const respond = (data: Uint8Array) => {
          if (mayAct()) message.respond(data);
        };
        handler({ ...message, respond });
      }),
    request: (...rest) => whenHeld(() => bus.request(...rest)),
    ensureQueue: (...rest) => whenHeld(() => bus.ensureQueue(...rest)),
    deleteQueue: (...rest) => whenHeld(() => bus.deleteQueue(...rest)),
    enqueue: (...rest) => whenHeld(() => bus.enqueue(...rest)),
    purgeQueue: (...rest) => whenHeld(() => bus.purgeQueue(...rest)),
    openQueue: (...rest) => whenHeld(() => bus.openQueue(...rest)),
    ensureStream: (...rest) => whenHeld(() => bus.ensureStream(...rest)),
    append: (...rest) => whenHeld(() => bus.append(...rest)),
    readStream: (...rest) => whenHeld(() => bus.readStream(...rest)),
    deleteStream: (...rest) => whenHeld(() => bus.deleteStream(...rest)),
    acquireLease: bus.acquireLease,
    flush: bus.flush,
    onStatus: bus.onStatus,
    close: bus.close,
  };
}
