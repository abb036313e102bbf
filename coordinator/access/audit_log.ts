/**
 * Who did what with which key: one JSON object a line, appended to `audit.jsonl` in the data folder (docs/operations.md has
 * the fields). Lines are never changed here; the operator may move the file away at any time.
 */
import type { Clock } from "../../shared/clock.ts";
import { PRIVATE_FILE_MODE } from "../storage/private_folder.ts";
import type { Caller } from "./api_keys.ts";

export interface AuditEntry {
  /** Null for a caller without a valid key. */
  readonly caller: Caller | null;
  /** The operation's name in /openapi.json, or method and path of an unknown route. */
  readonly action: string;
  /** Ids and names that the action is about; null: none. */
  readonly object: string | null;
  readonly status: number;
  /** The error's code; null: it was done. */
  readonly error: string | null;
}

export interface AuditLog {
  /** Appends a line. An error of the disk goes to `onDefect`: a full disk must not keep people from cancelling jobs. */
  write(entry: AuditEntry): Promise<void>;
}

export function createAuditLog(
  path: string,
  clock: Pick<Clock, "now">,
  onDefect: (message: string, thrown: unknown) => void,
): AuditLog {
  /** One line after the other, each in one write. */
  let last: Promise<void> = Promise.resolve();
  const append = async (line: string): Promise<void> => {
    try {
      await Deno.writeTextFile(path, line, { append: true, create: true, mode: PRIVATE_FILE_MODE });
    } catch (thrown) {
      onDefect(`not in the audit log: ${line.trim()}`, thrown);
    }
  };
  return {
    write(entry) {
      const line = `${JSON.stringify(lineOf(entry, clock.now()))}\n`;
      return last = last.then(() => append(line));
    },
  };
}

function lineOf({ caller, action, object, status, error }: AuditEntry, now: number) {
  return {
    time: new Date(now).toISOString(),
    key: caller?.name ?? null,
    key_id: caller?.keyId ?? null,
    role: caller?.role ?? null,
    ...{ action, object, status },
    result: error ?? "ok",
  };
}
