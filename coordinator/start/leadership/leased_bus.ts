/** The leader's bus. Drops all traffic while the leader lease is not held; permanently once it is lost. */
import type { Bus, Lease } from "../../../shared/bus/bus.ts";
import type { Clock } from "../../../shared/clock.ts";

/** How often waiting calls check whether the lease is held again. */
const CHECK_MS = 100;

/**
 * Meanwhile messages in both directions are lost, as the broker may lose any, so requests to this coordinator get no answer.
 * Calls that store something wait, and reject with the reason of `over`.
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
