/** What passes between coordinator and workers, read by the proxies: commits with their times, rounds, and who took part in them. */
import { z } from "zod";
import type { UpdateWord } from "./books.ts";

/** The parts of messages that the watch reads. They have passed no check yet, so nothing in them is trusted. */
const stateSchema = z.object({
  startId: z.string(),
  step: z.int(),
  phase: z.string(),
  microBatchCount: z.int(),
  committed: z.object({ step: z.int() }).nullable(),
});
const updateSchema = z.object({
  ...{ worker: z.string(), step: z.int(), term: z.int(), generation: z.int() },
});

export interface Watch {
  /** The newest step that is known to be committed. */
  readonly committedStep: number;
  /** Of commits that were seen, ascending. */
  readonly commitTimes: readonly number[];
  readonly words: readonly UpdateWord[];
  /** Micro-batches of each step that has begun. */
  readonly microBatchCounts: ReadonlyMap<number, number>;
  /** States of the training from which the job has begun again; one where all went well. */
  readonly startIds: ReadonlySet<string>;
  published(subject: string, payload: Uint8Array): void;
  delivered(subject: string, payload: Uint8Array): void;
}

export function createWatch(now: () => number): Watch {
  const commitTimes: number[] = [];
  const words: UpdateWord[] = [];
  const microBatchCounts = new Map<number, number>();
  const startIds = new Set<string>();
  let committedStep = 0;
  const parse = <T>(schema: z.ZodType<T>, payload: Uint8Array): T =>
    schema.parse(JSON.parse(new TextDecoder().decode(payload)));
  return {
    commitTimes,
    words,
    microBatchCounts,
    startIds,
    get committedStep() {
      return committedStep;
    },
    published(subject, payload) {
      if (!/^lf\.[^.]+\.update\./.test(subject)) return;
      words.push(parse(updateSchema, payload));
    },
    delivered(subject, payload) {
      if (!/^lf\.[^.]+\.state$/.test(subject)) return;
      const { startId, step, phase, microBatchCount, committed } = parse(stateSchema, payload);
      startIds.add(startId);
      if (phase === "compute" || phase === "reduce") microBatchCounts.set(step, microBatchCount);
      if ((committed?.step ?? 0) <= committedStep) return;
      committedStep = committed!.step;
      commitTimes.push(now());
    },
  };
}
