/** Which attempt of which step, under which membership. */
export interface RoundId {
  readonly step: number;
  readonly attempt: number;
  readonly generation: number;
}

/** Negative where `a` came before `b`, 0 where they are the same. */
export function compareRounds(a: RoundId, b: RoundId): number {
  return a.step - b.step || a.attempt - b.attempt || a.generation - b.generation;
}

export function describeRound({ step, attempt, generation }: RoundId): string {
  return `step ${step}, attempt ${attempt}, generation ${generation}`;
}
