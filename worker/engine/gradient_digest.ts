/** What auditors compare: equal for equal bits, whatever the numbers mean (decision 0012). */
import { createHash } from "node:crypto";

/** SHA-256 (hex) over the bits of a gradient as it lies in the GPU's memory. */
export function gradientDigestOf(gradient: ArrayBufferLike): string {
  return createHash("sha256").update(new Uint8Array(gradient)).digest("hex");
}
