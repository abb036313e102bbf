/** Memory that processor and GPU share. */

/** Metal's recommendedMaxWorkingSetSize: two thirds of the memory up to 36 GB, three quarters above. */
export const [UNIFIED, LARGE_UNIFIED] = [2 / 3, 3 / 4];
const LARGE_BYTES = 36 * 2 ** 30;

/** What one program may take on the GPU of a Mac with so much memory. */
export function unifiedBytes(totalBytes: number): number {
  return Math.floor(totalBytes * (totalBytes > LARGE_BYTES ? LARGE_UNIFIED : UNIFIED));
}
