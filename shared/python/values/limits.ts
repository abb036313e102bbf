/** What one operation may make. Python itself knows no bounds; a template that exceeds these is a mistake or an attack. */
import { PyError } from "./value.ts";

const MAX_ITEMS = 1 << 24;
const MAX_TEXT = 1 << 26;

/** Throws a `MemoryError` of Python's. */
export function checkItems(count: number): void {
  if (count > MAX_ITEMS) throw new PyError("MemoryError", `a list of more than ${MAX_ITEMS} items`);
}

/** Throws a `MemoryError` of Python's. */
export function checkText(length: number): void {
  if (length > MAX_TEXT) throw new PyError("MemoryError", `a text of more than ${MAX_TEXT} characters`);
}
