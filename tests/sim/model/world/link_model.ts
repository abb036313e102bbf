/** How long transfers take, by the formulas of decision 6: pure arithmetic on bytes, links and one broker. */

/** A worker's link to the broker; full duplex. */
export interface LinkSpeed {
  readonly upBytesPerSecond: number;
  readonly downBytesPerSecond: number;
  /** One way. */
  readonly latencyMs: number;
}

export interface BrokerSpeed {
  /** All brokers of a cluster together; `Infinity` for no limit. */
  readonly outBytesPerSecond: number;
  readonly inBytesPerSecond: number;
}

/** Bytes in flight to one worker: half of decision 6's window, which sums and results share. */
const WINDOW_BYTES = 24 * 2 ** 20;

/** A round is two messages deep, and each takes two hops: worker to broker, broker to worker. */
const HOPS = 4;

/**
 * A round of the owner reduce-scatter with broadcast. A member that owns a share s sends G bytes and receives
 * (1 + (W − 2)·s)·G; the broker takes W·G in and sends 2·(W − 1)·G out; whatever of these takes longest is the round's time,
 * besides the delay of two messages. Windows limit a link of long delay to so many bytes for each there and back.
 *
 * @param weights of the members' shares, as announced
 * @param gradientBytes G, as it is on the wire
 */
export function roundMs(
  links: readonly LinkSpeed[],
  weights: readonly number[],
  gradientBytes: number,
  broker: BrokerSpeed,
): number {
  const count = links.length;
  if (count === 1) return 0;
  const weightSum = weights.reduce((sum, weight) => sum + weight, 0);
  const latencyMs = links.reduce((most, link) => Math.max(most, link.latencyMs), 0);
  let seconds = Math.max(
    2 * (count - 1) * gradientBytes / broker.outBytesPerSecond,
    count * gradientBytes / broker.inBytesPerSecond,
  );
  links.forEach((link, index) => {
    const received = (1 + (count - 2) * weights[index]! / weightSum) * gradientBytes;
    const windowed = latencyMs === 0 ? Infinity : WINDOW_BYTES / (HOPS * latencyMs / 1000);
    seconds = Math.max(
      seconds,
      gradientBytes / link.upBytesPerSecond,
      received / Math.min(link.downBytesPerSecond, windowed),
    );
  });
  return 1000 * seconds + HOPS * latencyMs;
}

/** From worker to worker through the broker. */
export function transferMs(bytes: number, from: LinkSpeed, to: LinkSpeed): number {
  const rate = Math.min(from.upBytesPerSecond, to.downBytesPerSecond);
  return 1000 * bytes / rate + from.latencyMs + to.latencyMs;
}

/** From a worker to the coordinator, which has a fast link. */
export function uploadMs(bytes: number, { upBytesPerSecond, latencyMs }: LinkSpeed): number {
  return 1000 * bytes / upBytesPerSecond + latencyMs;
}
