/** Values with which the libraries do what they do without the field: they leave no trace in a job's specification. */
import { isDeepStrictEqual } from "node:util";

const SAME_AS_ABSENT: Readonly<Record<string, readonly unknown[]>> = {
  "training.lr_scheduler_kwargs": [{}],
};

export function isSameAsAbsent(path: string, value: unknown): boolean {
  return Object.hasOwn(SAME_AS_ABSENT, path) &&
    SAME_AS_ABSENT[path]!.some((same) => isDeepStrictEqual(same, value));
}
