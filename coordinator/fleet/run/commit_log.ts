/** A job's commit log: appended to by compare-and-set, so that two coordinators cannot both continue. */
import type { Bus } from "../../../shared/bus/bus.ts";
import { LoraFleetError } from "../../../shared/errors.ts";
import { decodeMessage, encodeMessage } from "../../../shared/protocol/messages_codec.ts";
import { type CommitEntry, commitEntrySchema } from "../../../shared/protocol/messages_coordinator.ts";
import { commitLogName, commitsSubject } from "../../../shared/protocol/subjects.ts";

/**
 * Appends a commit and returns its sequence. May be repeated if the broker has not answered. Throws a `LoraFleetError` with code
 * `conflict` if a different coordinator has appended.
 * @param previous the commit before it, with which a log that was lost and restored begins
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
    // The answer may have been lost: then the newest entry is ours.
    if (newest !== undefined && isSame(newest.data, bytes)) return newest.sequence;
    // Nobody has appended: a cluster that has lost its majority refuses it because of an attempt that it still has in its hands.
    if ((newest?.sequence ?? 0) === expectedLast) {
      const attempted = `cannot append step ${entry.step} to the commits of ${entry.jobId}`;
      const message = `${attempted}: the broker has not stored an earlier attempt yet`;
      throw new LoraFleetError("timeout", message, { cause: thrown });
    }
    const begins = previous === null ? null : encodeMessage(commitEntrySchema, previous);
    const isRestored = begins !== null && log.length === 1 && isSame(newest!.data, begins);
    if (!isRestored) throw thrown;
    return await append(newest!.sequence);
  }
}

/** Recreates a lost log with the newest commit, which the leading coordinator knows and whose state its workers hold. */
export async function restoreCommitLog(bus: Bus, jobId: string, newest: CommitEntry | null): Promise<void> {
  await bus.ensureStream(commitLogName(jobId), commitsSubject(jobId));
  if (newest === null || (await bus.readStream(commitLogName(jobId))).length > 0) return;
  await appendCommit(bus, newest, 0);
}

/** All commits, oldest first. Throws a `LoraFleetError` with code `corrupt` for an entry that is not a commit. */
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
