/** Which of two announcements is newer. A later coordinator's term beats any counter and any clock. */
import type { FleetState, StepState } from "./messages_coordinator.ts";

export type FleetAge = Pick<FleetState, "term" | "generation">;

/** Whether a fleet state or welcome is older than a different one. */
export function isOlderFleet(a: FleetAge, b: FleetAge): boolean {
  return a.term === b.term ? a.generation < b.generation : a.term < b.term;
}

/** Compares states of the same start of a job's training. */
export function isNewerState(
  a: Pick<StepState, "term" | "revision">,
  b: Pick<StepState, "term" | "revision">,
): boolean {
  return a.term === b.term ? a.revision > b.revision : a.term > b.term;
}
