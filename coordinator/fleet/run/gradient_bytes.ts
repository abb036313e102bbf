/** The cost of the all-reduce: payload bytes that workers publish in a step, failed attempts included. */

export interface GradientBytes {
  /** Takes a worker's count since it joined. The first one of an incarnation is its zero. */
  record(incarnation: string, bytesSent: number): void;
  /** The sum over all workers since the last call. */
  take(): number;
}

export function createGradientBytes(): GradientBytes {
  const counts = new Map<string, number>();
  let untaken = 0;
  return {
    record(incarnation, bytesSent) {
      const before = counts.get(incarnation) ?? bytesSent;
      // A heartbeat overtaken by a newer report has a smaller count.
      untaken += Math.max(0, bytesSent - before);
      counts.set(incarnation, Math.max(before, bytesSent));
    },
    take() {
      const taken = untaken;
      untaken = 0;
      return taken;
    },
  };
}
