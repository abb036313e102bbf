/** An engine that writes down what is in its sums: the harness's own books, of which coordinator and ledger know nothing. */
import { z } from "zod";
import type { Engine } from "../../worker/engine/engine.ts";

const worker = z.string();
const step = z.int();
/** What a worker process says on standard output, a JSON object a line. */
export const lineSchema = z.discriminatedUnion("type", [
  z.strictObject({ type: z.literal("started"), worker }),
  /** A micro-batch is in its sums. */
  z.strictObject({ type: z.literal("added"), worker, microBatch: z.int() }),
  /** It has computed this step's update, with these micro-batches in what it gave to the round. */
  z.strictObject({ type: z.literal("updated"), worker, step, microBatches: z.array(z.int()) }),
]);
export type Line = z.output<typeof lineSchema>;

/** Written in one piece and at once: a process killed a moment later has reported it. */
export function writeLine(line: Line): void {
  const bytes = new TextEncoder().encode(`${JSON.stringify(line)}\n`);
  for (let from = 0; from < bytes.byteLength;) from += Deno.stdout.writeSync(bytes.subarray(from));
}

/** @param write replaced in tests */
export function keepBook(engine: Engine, worker: string, write: (line: Line) => void = writeLine): Engine {
  let computed = -1;
  /** What was added since the attempt began, whether the sums were taken meanwhile or not. */
  let inSums: number[] = [];
  return {
    ...engine,
    async computeGradient(batch, microBatch) {
      computed = microBatch;
      return await engine.computeGradient(batch, microBatch);
    },
    async accumulate(exponents) {
      await engine.accumulate(exponents);
      inSums.push(computed);
      write({ type: "added", worker, microBatch: computed });
    },
    async update(request) {
      const result = await engine.update(request);
      write({ type: "updated", worker, step: request.updateNumber, microBatches: [...inSums] });
      return result;
    },
    async commit() {
      inSums = [];
      await engine.commit();
    },
    async rollback() {
      inSums = [];
      await engine.rollback();
    },
    async importState(state) {
      inSums = [];
      return await engine.importState(state);
    },
  };
}
