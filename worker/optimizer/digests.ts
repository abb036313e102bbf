/** Where the threads of an update leave the parts of its digest, and the digest that they make. */
import {
  allocateChunkDigests,
  type DigestKind,
  digestOfChunks,
} from "../../shared/protocol/state/state_digest.ts";
import type { UpdateWork } from "./threads/update_work.ts";
import { allocateFingerprint, fingerprintOfBlocks } from "./wasm/fingerprint_kernel.ts";

type Places = Pick<UpdateWork, "digests" | "fingerprint">;

interface NextDigest {
  /** A part of the threads' work. */
  readonly places: Places;
  /** In hexadecimal, once they have done it. */
  readonly digest: () => string;
}

export class Digests {
  readonly #elementCount: number;
  /** Keys and block sums; null before the first fingerprint. */
  #fingerprint: WebAssembly.Memory | null = null;

  constructor(elementCount: number) {
    this.#elementCount = elementCount;
  }

  /** Until the next call. */
  of(kind: DigestKind | "none"): NextDigest {
    const elementCount = this.#elementCount;
    if (kind === "none") return { places: { digests: null, fingerprint: null }, digest: () => "" };
    if (kind === "sha256") {
      const digests = allocateChunkDigests(elementCount);
      return { places: { digests, fingerprint: null }, digest: () => digestOfChunks(elementCount, digests) };
    }
    const fingerprint = this.#fingerprint ??= allocateFingerprint(elementCount);
    const digest = () => fingerprintOfBlocks(elementCount, fingerprint);
    return { places: { digests: null, fingerprint }, digest };
  }
}
