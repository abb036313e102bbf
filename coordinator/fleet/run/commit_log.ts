/** A job's log of commits: appended by compare-and-set, so that no two coordinators can both go on. */
import type { Bus } from "../../../shared/bus/bus.ts";
import { LoraFleetError } from "../../../shared/errors.ts";
import {
  type CommitEntry,
  commitEntrySchema,
  decodeMessage,
  encodeMessage,
} from "../../../shared/protocol/messages.ts";
import { commitLogName, commitsSubject } from "../../../shared/protocol/subjects.ts";

/**
 * Appends a commit and returns its sequence; may be repeated where the broker has not answered. `previous` is the commit before
 * it: a log that was lost and made anew begins with that one. Throws a `LoraFleetError` with code `conflict` where somebody
 * else has appended.
 */
export async function appendCommit(
  bus: Bus,
  entry: CommitEntry,
  expectedLast: number,
  previous: CommitEntry | null = null,
): Promise<number> {
  const bytes = encodeMessage(commitEntrySchema, entry);
  const append = (last: number) => bus.append(commitsSubject(entry.jobId), bytes, last);
  try {
    return await append(expectedLast);
  } catch (thrown) {
    if (!(thrown instanceof LoraFleetError) || thrown.code !== "conflict") throw thrown;
    const log = await bus.readStream(commitLogName(entry.jobId));
    const newest = log.at(-1);
    // An answer may have got lost: then the newest entry is ours.
    if (newest !== undefined && isSame(newest.data, bytes)) return newest.sequence;
    const begins = previous === null ? null : encodeMessage(commitEntrySchema, previous);
    const isAnew = begins !== null && log.length === 1 && isSame(newest!.data, begins);
    if (!isAnew || newest!.sequence === expectedLast) throw thrown;
    return await append(newest!.sequence);
  }
}

/**
 * Makes the log where it is gone, beginning with the newest commit, so that whoever reads it next goes on from there. The
 * coordinator that leads knows that commit, and its workers hold the state.
 */
export async function restoreCommitLog(bus: Bus, jobId: string, newest: CommitEntry | null): Promise<void> {
  await bus.ensureStream(commitLogName(jobId), commitsSubject(jobId));
  if (newest === null || (await bus.readStream(commitLogName(jobId))).length > 0) return;
  await appendCommit(bus, newest, 0);
}

/** All commits, oldest first. Throws a `LoraFleetError` with code `corrupt` for an entry that is none. */
export async function readCommits(
  bus: Bus,
  jobId: string,
): Promise<readonly { readonly sequence: number; readonly entry: CommitEntry }[]> {
  const entries = await bus.readStream(commitLogName(jobId));
  return entries.map(({ sequence, data }) => ({
    sequence,
    entry: decodeMessage(commitEntrySchema, data, `commit ${sequence} of ${jobId}`),
  }));
}

function isSame(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, index) => byte === b[index]);
}
