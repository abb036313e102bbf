/** Sets rows of a dataset aside for the evaluation if the user gives no evaluation dataset. */
import { LoraFleetError, quote } from "../../shared/errors.ts";

const EVERY = 10;
const MAX_ROWS = 200;

/**
 * Holds out every tenth line, at most 200, and trains on the rest. Does not parse lines: the coordinator reports a bad row.
 * Throws `invalid_dataset` if there are too few rows for both
 */
export function setRowsAside(text: string, path: string): { train: string; heldOut: string } {
  const lines = text.split(/\r?\n/).filter((line) => line.trim() !== "");
  if (lines.length < 2) {
    const message = `${quote(path)} has ${lines.length === 1 ? "one row" : "no rows"}: at least two are ` +
      "needed, one to evaluate with";
    throw new LoraFleetError("invalid_dataset", message);
  }
  const every = Math.max(Math.min(EVERY, lines.length), Math.ceil(lines.length / MAX_ROWS));
  const isHeldOut = (index: number) => index % every === every - 1;
  const join = (rows: readonly string[]) => rows.map((row) => `${row}\n`).join("");
  return {
    train: join(lines.filter((_, index) => !isHeldOut(index))),
    heldOut: join(lines.filter((_, index) => isHeldOut(index))),
  };
}
