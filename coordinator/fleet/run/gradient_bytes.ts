/** What the all-reduce has cost: payload bytes that workers have published, step by step, failed attempts included. */

export interface GradientBytes {
  /** A worker's count since it joined, as it tells it; the first word of an incarnation is where its counting begins. */
  told(incarnation: string, bytesSent: number): void;
  /** What was added by all since the last call. */
  take(): number;
}

export function createGradientBytes(): GradientBytes {
  const counts = new Map<string, number>();
  let untaken = 0;
  return {
    told(incarnation, bytesSent) {
      const before = counts.get(incarnation) ?? bytesSent;
      // A heartbeat that was overtaken by a newer report tells less.
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
