import { jobHash } from "../../../shared/protocol/tensor_frame.ts";

/** Which attempt of which step, under which membership. */
export interface RoundNumbers {
  readonly step: number;
  readonly attempt: number;
  readonly generation: number;
}

/** The term tells the rounds of successive coordinators apart. */
export interface RoundId extends RoundNumbers {
  readonly term: number;
}

/** Compares rounds of one term: negative if `a` came before `b`, 0 if they are the same. */
export function compareRounds(a: RoundNumbers, b: RoundNumbers): number {
  return a.step - b.step || a.attempt - b.attempt || a.generation - b.generation;
}

export function describeRound({ step, attempt, generation }: RoundNumbers): string {
  return `step ${step}, attempt ${attempt}, generation ${generation}`;
}

/** In the header of all frames of a term; frames of other jobs, starts and coordinators have a different one. */
export function termHash(jobId: string, startId: string, term: number): number {
  return jobHash(`${jobId} ${startId} ${term}`);
}
