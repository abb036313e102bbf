/** How far a job's events have been delivered to a tracker: a small file, since the events themselves are already stored. */
import { z } from "zod";
import { writeStreamedFile } from "../../storage/streamed_file.ts";
import { foldingSchema, NOTHING_FOLDED } from "./points.ts";

const deliverySchema = z.object({
  /** The newest event that a delivered point contains. */
  event: z.int(),
  folding: foldingSchema,
  run: z.record(z.string(), z.unknown()).nullable(),
  /** Since when the tracker takes nothing, in milliseconds since the Unix epoch; null: it does. */
  failingSince: z.number().nullable(),
});
export type DeliveryState = z.output<typeof deliverySchema>;

export const NOTHING_DELIVERED: DeliveryState = {
  event: 0,
  folding: NOTHING_FOLDED,
  run: null,
  failingSince: null,
};

export interface DeliveryFile {
  /** Null if there is none. A file that cannot be read counts as nothing delivered. */
  load(): Promise<DeliveryState | null>;
  save(state: DeliveryState): Promise<void>;
  remove(): Promise<void>;
}

const MAX_BYTES = 1 << 20;

export function deliveryFile(folder: string, jobId: string, tracker: string): DeliveryFile {
  const path = `${folder}/${jobId}.${tracker}.json`;
  return {
    async load() {
      const text = await Deno.readTextFile(path).catch((thrown) => {
        if (thrown instanceof Deno.errors.NotFound) return null;
        throw thrown;
      });
      if (text === null) return null;
      try {
        return deliverySchema.parse(JSON.parse(text));
      } catch {
        return NOTHING_DELIVERED;
      }
    },
    async save(state) {
      const bytes = new TextEncoder().encode(JSON.stringify(state));
      await writeStreamedFile(path, ReadableStream.from([bytes]), { maxBytes: MAX_BYTES });
    },
    async remove() {
      await Deno.remove(path).catch((thrown) => {
        if (!(thrown instanceof Deno.errors.NotFound)) throw thrown;
      });
    },
  };
}

/** The deliveries that an earlier process left unfinished. */
export async function unfinishedDeliveries(folder: string): Promise<{ jobId: string; tracker: string }[]> {
  const found: { jobId: string; tracker: string }[] = [];
  try {
    for await (const { name } of Deno.readDir(folder)) {
      const [, jobId, tracker] = /^([^.]+)\.([a-z]+)\.json$/.exec(name) ?? [];
      if (jobId !== undefined && tracker !== undefined) found.push({ jobId, tracker });
    }
  } catch (thrown) {
    if (!(thrown instanceof Deno.errors.NotFound)) throw thrown;
  }
  return found;
}
