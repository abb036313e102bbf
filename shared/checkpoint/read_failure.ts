/** The errors of reading a file that the caller named. */
import { LoraFleetError, messageOf, quote } from "../errors.ts";

/** `model_not_found` if there is no such file, else `storage`. */
export function readFailure(path: string, cause: unknown, hint = ""): LoraFleetError {
  return new LoraFleetError(
    cause instanceof Deno.errors.NotFound ? "model_not_found" : "storage",
    `Reading ${quote(path)} failed: ${messageOf(cause)}${hint}`,
    { param: path, cause },
  );
}

/** @throws LoraFleetError as `readFailure` */
export async function readText(path: string, hint = ""): Promise<string> {
  try {
    return await Deno.readTextFile(path);
  } catch (cause) {
    throw readFailure(path, cause, hint);
  }
}
