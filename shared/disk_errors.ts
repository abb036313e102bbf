/** Disk failures, by message: Deno errors without a class of their own carry the system's code only there. */

/** ENOSPC and EDQUOT. */
const FULL = /no space left|not enough space|quota exceeded|os error (28|122)\b/i;
/** EIO and EROFS. */
const FAILED = /os error (5|30)\b/i;

/** Whether an error reports that the disk, or the user's share of it, is full. */
export function isDiskFull(thrown: unknown): boolean {
  return thrown instanceof Error && FULL.test(thrown.message);
}

/** Whether an error reports that the disk is full, broken or read-only. */
export function isDiskFailure(thrown: unknown): boolean {
  return isDiskFull(thrown) || (thrown instanceof Error && FAILED.test(thrown.message));
}
