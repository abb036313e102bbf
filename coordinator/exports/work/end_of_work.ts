/** How a failed export or push is stored. */
import { LoraFleetError, messageOf } from "../../../shared/errors.ts";
import type { ExportServiceOptions } from "./export_context.ts";
import type { ExportRecord } from "../record/export_record.ts";

/** As a record has it; what is not the user's fault is reported. */
export function errorOf(
  { onDefect }: Pick<ExportServiceOptions, "onDefect">,
  what: string,
  thrown: unknown,
): NonNullable<ExportRecord["error"]> {
  if (thrown instanceof LoraFleetError) {
    return { code: thrown.code, message: thrown.message, param: thrown.param };
  }
  onDefect(what, thrown);
  return { code: "internal_error", message: messageOf(thrown), param: null };
}

/** The disk may be too full even for the record: then the memory has it, and the next coordinator tries again. */
export function putAnyway(
  { exports, onDefect }: ExportServiceOptions,
  id: string,
  changes: Partial<ExportRecord>,
): void {
  const record = { ...exports.get(id)!, ...changes };
  try {
    exports.put(record);
  } catch (thrown) {
    exports.put(record, false);
    onDefect(`the end of export ${id} is not stored`, thrown);
  }
}
