/** Which micro-batches are audited: drawn by a hash, so that every attempt and every coordinator draws the same ones. */
import { createHash } from "node:crypto";

/**
 * @param seed of the job
 * @param rate the share that is audited, 0 to 1
 */
export function isAudited(seed: number, step: number, index: number, rate: number): boolean {
  if (rate === 0) return false;
  const hash = createHash("sha256").update(`audit ${seed} ${step} ${index}`).digest();
  return hash.readUInt32BE(0) < rate * 2 ** 32;
}
