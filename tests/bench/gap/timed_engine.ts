/** An engine that writes down when each call began and ended, one JSON object a line on standard output. */
import { z } from "zod";
import type { Engine } from "../../../worker/engine/engine.ts";

/** The calls that a step is made of. */
const CALLS = ["computeGradient", "accumulate", "readSums", "update", "commit"] as const;

export const timedCallSchema = z.strictObject({
  worker: z.string(),
  call: z.enum(CALLS),
  /** Milliseconds since 1970, of one clock for all processes of a machine. */
  from: z.number(),
  to: z.number(),
});
export type TimedCall = z.output<typeof timedCallSchema>;

const now = () => performance.timeOrigin + performance.now();

export function timed(engine: Engine, worker: string, write: (call: TimedCall) => void): Engine {
  const wrapped: Record<string, unknown> = { ...engine };
  for (const call of CALLS) {
    const method = engine[call] as (...args: unknown[]) => Promise<unknown>;
    wrapped[call] = async (...args: unknown[]) => {
      const from = now();
      try {
        return await method(...args);
      } finally {
        write({ worker, call, from, to: now() });
      }
    };
  }
  return wrapped as unknown as Engine;
}
