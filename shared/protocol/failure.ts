/** An error as part of a message: what a child process throws, thrown again by its parent. */
import { z } from "zod";
import { ERROR_CODES, LoraFleetError, messageOf } from "../errors.ts";

export const failureSchema = z.strictObject({
  /** Null for a defect of ours. */
  code: z.enum(ERROR_CODES).nullable(),
  message: z.string(),
  param: z.string().nullable(),
  stack: z.string().nullable(),
});

/** Serialises what was thrown. */
export function failureOf(thrown: unknown): z.output<typeof failureSchema> {
  if (thrown instanceof LoraFleetError) {
    return { code: thrown.code, message: thrown.message, param: thrown.param, stack: null };
  }
  const stack = thrown instanceof Error ? thrown.stack ?? null : null;
  return { code: null, message: messageOf(thrown), param: null, stack };
}

/** The inverse of `failureOf`. */
export function errorOf({ code, message, param, stack }: z.output<typeof failureSchema>): Error {
  if (code !== null) return new LoraFleetError(code, message, param === null ? {} : { param });
  const defect = new Error(message);
  if (stack !== null) defect.stack = stack;
  return defect;
}
