/** The line of unfinished jobs, oldest first, and which of them trains next. Thousands may wait, so it stays in memory. */
import { isFinished, type JobRecord, type JobStatus } from "./record/job.ts";

type NextJob =
  | { readonly kind: "train"; readonly id: string }
  /** Older jobs whose data may be ready soon go first. */
  | { readonly kind: "wait"; readonly older: readonly string[] };

export class JobLine {
  readonly #statuses = new Map<string, JobStatus>();
  /** Jobs that are still being prepared after the fleet has waited for them. */
  readonly #overdue = new Set<string>();

  clear(): void {
    this.#statuses.clear();
  }

  /** Takes a job's new status into account; a new job joins at the end. */
  update({ id, status }: Pick<JobRecord, "id" | "status">): void {
    if (isFinished(status)) this.#statuses.delete(id);
    else this.#statuses.set(id, status);
    if (status !== "validating_files") this.#overdue.delete(id);
  }

  /** The oldest queued job, unless an older one is being prepared and not overdue. Null if none is queued. */
  next(): NextJob | null {
    const jobs = [...this.#statuses];
    const at = jobs.findIndex(([, status]) => status === "queued");
    if (at === -1) return null;
    const older = jobs.slice(0, at).filter(([, status]) => status === "validating_files").map(([id]) => id);
    return older.every((id) => this.#overdue.has(id))
      ? { kind: "train", id: jobs[at]![0] }
      : { kind: "wait", older };
  }

  /** No younger job waits for these any longer. */
  markOverdue(ids: readonly string[]): void {
    for (const id of ids) this.#overdue.add(id);
  }

  /** The oldest queued job other than this one. */
  queuedBeside(id: string): string | null {
    return [...this.#statuses].find(([other, status]) => status === "queued" && other !== id)?.[0] ?? null;
  }
}
