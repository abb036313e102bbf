/** A job's log of commits: appended by compare-and-set, so that no two coordinators can both go on. */
import type { Bus } from "../shared/bus/bus.ts";
import type { Clock } from "../shared/clock.ts";
import { LoraFleetError } from "../shared/errors.ts";
import { type CommitEntry, commitEntrySchema, decodeMessage, encodeMessage } from "../shared/messages.ts";
import { commitLogName, commitsSubject } from "../shared/subjects.ts";

/** Between two tries while the broker does not answer. */
const RETRY_MS = 500;

/**
 * Appends a commit and returns its sequence; null where `isOver` says that nobody waits for it any more. A broker that
 * is away is waited for: nothing may happen before the commit is known to be stored or not. Throws a `LoraFleetError`
 * with code `conflict` where somebody else has appended.
 */
export async function appendCommit(
  bus: Bus,
  clock: Clock,
  entry: CommitEntry,
  expectedLast: number,
  isOver: () => boolean,
): Promise<number | null> {
  const bytes = encodeMessage(commitEntrySchema, entry);
  while (!isOver()) {
    try {
      return await bus.append(commitsSubject(entry.jobId), bytes, expectedLast);
    } catch (thrown) {
      if (!(thrown instanceof LoraFleetError)) throw thrown;
      if (thrown.code === "timeout") {
        await clock.sleep(RETRY_MS);
        continue;
      }
      if (thrown.code !== "conflict") throw thrown;
      // An answer may have got lost: then the newest entry is ours.
      const newest = (await bus.readLog(commitLogName(entry.jobId))).at(-1);
      if (newest !== undefined && isSame(newest.data, bytes)) return newest.sequence;
      throw thrown;
    }
  }
  return null;
}

/** All commits, oldest first. Throws a `LoraFleetError` with code `corrupt` for an entry that is none. */
export async function readCommits(
  bus: Bus,
  jobId: string,
): Promise<readonly { readonly sequence: number; readonly entry: CommitEntry }[]> {
  const entries = await bus.readLog(commitLogName(jobId));
  return entries.map(({ sequence, data }) => ({
    sequence,
    entry: decodeMessage(commitEntrySchema, data, `commit ${sequence} of ${jobId}`),
  }));
}

function isSame(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, index) => byte === b[index]);
}
