/** Micro-batches that a certain member is asked to compute: rechecks and audits (docs/protocol.md). */
import type { Assignment } from "../../../shared/protocol/messages_coordinator.ts";
import type { Training } from "./training.ts";

export function withAssignment(training: Training, assignment: Omit<Assignment, "id">): Training {
  const { assignments, nextAssignment: id } = training;
  return { ...training, assignments: [...assignments, { id, ...assignment }], nextAssignment: id + 1 };
}

export function assignmentFor(
  { assignments }: Training,
  index: number,
  purpose: Assignment["purpose"],
): Assignment | undefined {
  return assignments.find((assignment) => assignment.index === index && assignment.purpose === purpose);
}

export function withoutAssignments(
  training: Training,
  isOver: (assignment: Assignment) => boolean,
): Training {
  const assignments = training.assignments.filter((assignment) => !isOver(assignment));
  return assignments.length === training.assignments.length ? training : { ...training, assignments };
}

/** The candidate with the fewest assignments; ties take turns, by the micro-batch. */
export function leastAsked(
  { assignments }: Training,
  candidates: readonly string[],
  index: number,
): string | null {
  const openOf = (worker: string) => assignments.filter((assignment) => assignment.worker === worker).length;
  const turned = candidates.map((_, place) => candidates[(place + index) % candidates.length]!);
  return turned.sort((a, b) => openOf(a) - openOf(b))[0] ?? null;
}
