/** The history, with its times, as one hash; the last lines are kept for a person who asks why. */
import { createHash } from "node:crypto";

export interface Trace {
  note(who: string, what: string): void;
  readonly lineCount: number;
  /** SHA-256 over all lines so far. */
  hash(): string;
  /** The last lines, oldest first. */
  last(count: number): readonly string[];
}

const KEPT = 1000;

/**
 * @param now milliseconds since the beginning
 * @param onLine called for each line
 */
export function createTrace(now: () => number, onLine: (line: string) => void = () => {}): Trace {
  const sha256 = createHash("sha256");
  const recent: string[] = [];
  let lineCount = 0;
  return {
    note: (who, what) => {
      const line = `${now()} ${who}: ${what}`;
      sha256.update(line).update("\n");
      recent[lineCount++ % KEPT] = line;
      onLine(line);
    },
    get lineCount() {
      return lineCount;
    },
    hash: () => sha256.copy().digest("hex"),
    last: (count) => {
      const at = lineCount % KEPT;
      return [...recent.slice(at), ...recent.slice(0, at)].slice(-count);
    },
  };
}
