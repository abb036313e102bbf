/** The gradient digest that auditors compare: equal for equal bits (decision 0012). */
import { createHash } from "node:crypto";

/** SHA-256 (hex) over the bits of a gradient as read from the GPU. */
export function gradientDigestOf(gradient: ArrayBufferLike): string {
  return createHash("sha256").update(new Uint8Array(gradient)).digest("hex");
}
