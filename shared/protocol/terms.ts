/**
 * Which of two announcements is newer. Terms come first: what a later coordinator says is newer, whatever it counts and whatever
 * its clock shows. Pure.
 */
import type { FleetState, StepState } from "./messages_coordinator.ts";

export type FleetAge = Pick<FleetState, "term" | "generation">;

/** Whether a state of the fleet is older than another, or than a welcome. */
export function isOlderFleet(a: FleetAge, b: FleetAge): boolean {
  return a.term === b.term ? a.generation < b.generation : a.term < b.term;
}

/** Whether a state of one start of a job's training is newer than another. */
export function isNewerState(
  a: Pick<StepState, "term" | "revision">,
  b: Pick<StepState, "term" | "revision">,
): boolean {
  return a.term === b.term ? a.revision > b.revision : a.term > b.term;
}
