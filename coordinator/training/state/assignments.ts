/** Micro-batches that one member is asked to compute, by name: rechecks and audits (docs/protocol.md). */
import type { Assignment } from "../../../shared/protocol/messages_coordinator.ts";
import type { Training } from "./training.ts";

/** Asks the worker; that is announced with the state. */
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

/** Nobody is asked to do this any more. */
export function withoutAssignments(
  training: Training,
  isOver: (assignment: Assignment) => boolean,
): Training {
  const assignments = training.assignments.filter((assignment) => !isOver(assignment));
  return assignments.length === training.assignments.length ? training : { ...training, assignments };
}

/** Who of the candidates has the fewest assignments; those who have equally few take turns with the micro-batches. */
export function leastAsked(
  { assignments }: Training,
  candidates: readonly string[],
  index: number,
): string | null {
  const openOf = (worker: string) => assignments.filter((assignment) => assignment.worker === worker).length;
  const turned = candidates.map((_, place) => candidates[(place + index) % candidates.length]!);
  return turned.sort((a, b) => openOf(a) - openOf(b))[0] ?? null;
}
