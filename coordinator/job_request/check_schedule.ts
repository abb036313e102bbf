/** Whether a schedule gets the arguments that it takes. */
import type { TrainingSpec } from "../../shared/job/job_spec_schema.ts";
import { POLYNOMIAL_END, SCHEDULE_KINDS } from "../planning/schedule/schedule_kinds.ts";
import { invalidField, show } from "./errors.ts";

const AT = "training.lr_scheduler_kwargs";

/** Throws `invalid_request` naming the argument. */
export function checkSchedule(training: TrainingSpec): void {
  const { lr_scheduler_type: type, lr_scheduler_kwargs: args = {}, learning_rate: rate } = training;
  const { takes, needsOneOf } = SCHEDULE_KINDS[type];
  const given = Object.entries(args).filter(([, value]) => value !== undefined);
  for (const [name, value] of given) {
    if (takes.some((taken) => taken === name)) continue;
    const known = takes.length === 0 ? "takes no arguments" : `takes ${takes.join(", ")}`;
    throw refused(name, `${show(value)}, but the schedule ${show(type)} ${known}; leave it out`);
  }
  if (needsOneOf !== undefined) {
    const found = needsOneOf.filter((name) => args[name] !== undefined);
    const wanted = needsOneOf.map((name) => `{${show(name)}: …}`).join(" or ");
    if (found.length === 0) {
      const message = `training.lr_scheduler_type is ${show(type)}, which needs ${AT}: ${wanted}`;
      throw invalidField(AT, message);
    }
    if (found.length > 1) {
      throw refused(
        found[1]!,
        `${show(args[found[1]!])} besides ${found[0]} (${args[found[0]!]}); give one of them`,
      );
    }
  }
  if (args.min_lr !== undefined && args.min_lr > rate) {
    throw refused(
      "min_lr",
      `${args.min_lr}, above training.learning_rate (${rate}), which is the highest of the schedule`,
    );
  }
  checkEnd(training);
}

function checkEnd(
  { lr_scheduler_type: type, lr_scheduler_kwargs: args = {}, learning_rate: rate }: TrainingSpec,
): void {
  const end = args.lr_end ?? POLYNOMIAL_END;
  if (type !== "polynomial" || rate === 0 || rate > end) return;
  const left = args.lr_end === undefined ? " if left out" : "";
  throw refused("lr_end", `${end}${left}; a number below training.learning_rate (${rate}) is needed`);
}

function refused(name: string, words: string) {
  return invalidField(`${AT}.${name}`, `${AT}.${name} is ${words}`);
}
