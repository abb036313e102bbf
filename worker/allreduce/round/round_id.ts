import { jobHash } from "../../../shared/protocol/tensor_frame.ts";

/** Which attempt of which step, under which membership. */
export interface RoundNumbers {
  readonly step: number;
  readonly attempt: number;
  readonly generation: number;
}

/** Of a coordinator's run of the job: what others had under the same numbers is told from it by the term. */
export interface RoundId extends RoundNumbers {
  readonly term: number;
}

/** Of one term: negative where `a` came before `b`, 0 where they are the same. */
export function compareRounds(a: RoundNumbers, b: RoundNumbers): number {
  return a.step - b.step || a.attempt - b.attempt || a.generation - b.generation;
}

export function describeRound({ step, attempt, generation }: RoundNumbers): string {
  return `step ${step}, attempt ${attempt}, generation ${generation}`;
}

/** In the header of all frames of a term: those of another job, start or coordinator are told by it. */
export function termHash(jobId: string, startId: string, term: number): number {
  return jobHash(`${jobId} ${startId} ${term}`);
}
