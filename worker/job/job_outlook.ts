/** What a worker's log says of a job's length: at its start from the plan, later from the pace of its commits. */
import type { JobAnnouncement } from "../../shared/protocol/messages_coordinator.ts";

/** A line for a job that is loaded; null if the coordinator tells nothing of its plan. */
export function planLine(
  { totals, localSteps }: Pick<JobAnnouncement, "totals" | "localSteps">,
): string | null {
  if (totals === undefined) return null;
  const { steps, tokens } = totals;
  const kind = localSteps === null ? "steps" : "outer steps";
  const each = steps === 0 ? 0 : Math.round(tokens / steps);
  return `the whole job has ${steps} ${kind} with ${tokens} tokens, about ${each} each; the time that is left follows ` +
    "with the commits";
}

/** The pace of the steps that this worker sees committed. */
export class Outlook {
  readonly #totals: JobAnnouncement["totals"];
  /** The second commit that was seen: the first step compiles kernels. */
  #from: { readonly step: number; readonly at: number } | null = null;
  #seen = 0;

  constructor({ totals }: Pick<JobAnnouncement, "totals">) {
    this.#totals = totals;
  }

  /** @param at in milliseconds; returns the rest of a line about this commit, empty while nothing can be said */
  committed(step: number, at: number): string {
    this.#seen++;
    if (this.#totals === undefined) return "";
    const { steps, tokens } = this.#totals;
    const of = ` (of ${steps})`;
    if (this.#seen === 2) this.#from = { step, at };
    if (this.#from === null || step <= this.#from.step || at <= this.#from.at) return of;
    const perStep = (at - this.#from.at) / (step - this.#from.step);
    const speed = Math.round(1000 * tokens / steps / perStep);
    return `${of}, ${speed} tokens/s with the whole fleet, about ${clock(perStep * (steps - step))} left`;
  }
}

/** `1:02:03`, `2:03`, `0:03`. */
function clock(milliseconds: number): string {
  const seconds = Math.max(0, Math.round(milliseconds / 1000));
  const [hours, minutes] = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60];
  const two = (value: number) => String(value).padStart(2, "0");
  return hours > 0 ? `${hours}:${two(minutes)}:${two(seconds % 60)}` : `${minutes}:${two(seconds % 60)}`;
}
