/** How a model worker that is behind loads the newest state: `worker/recovery/fetch_state.ts`, with real requests to holders. */
import { crc32 } from "node:zlib";
import { encodeMessage } from "../../../shared/protocol/messages_codec.ts";
import type { MemberRef } from "../../../shared/protocol/messages_coordinator.ts";
import { type Committed, recoverRequestSchema } from "../../../shared/protocol/messages_worker.ts";
import { decodeStateFrame } from "../../../shared/protocol/state_frame.ts";
import { recoverSubject } from "../../../shared/protocol/subjects.ts";
import { digestOfWords, wordsOfDigest } from "./contribution.ts";
import { transferMs } from "./link_model.ts";
import type { ModelLink } from "./model_link.ts";
import type { ModelWorld } from "./model_world.ts";

export interface ModelRecovery {
  readonly world: ModelWorld;
  readonly link: ModelLink;
  readonly jobId: string;
  readonly startId: string;
  readonly self: MemberRef;
  readonly committed: Committed;
  readonly holders: readonly string[];
  /** Ends it without a word. */
  readonly isWanted: () => boolean;
  /** Whether the newest state of the step still lists it. */
  readonly isHolder: (holder: string) => boolean;
  readonly onRecovered: (digest: string, holder: string) => void;
  /** No holder has given anything. */
  readonly onFailed: () => void;
}

/** Asks one holder after the other: the first piece, the time of the whole state, and the last piece. */
export function recoverState(recovery: ModelRecovery): void {
  const { world, link, self, holders, isWanted, isHolder } = recovery;
  const first = crc32(self.worker);

  function tryHolder(time: number): void {
    if (!isWanted()) return;
    if (time >= holders.length) return recovery.onFailed();
    const holder = holders[(first + time) % holders.length]!;
    if (!isHolder(holder)) return tryHolder(time + 1);
    askPiece(recovery, holder, (piece) => {
      if (!isWanted()) return;
      if (piece === null) return tryHolder(time + 1);
      const from = world.linkOf(holder)?.speed ?? link.speed;
      link.after(transferMs(3 * world.gradientBytes, from, link.speed), () => {
        if (!isWanted()) return;
        askPiece(recovery, holder, (words) => {
          if (!isWanted()) return;
          if (words === null) return tryHolder(time + 1);
          recovery.onRecovered(digestOfWords(words), holder);
        });
      });
    });
  }
  tryHolder(0);
}

/** Null where the holder has not got it, or is not there. */
function askPiece(
  { world, link, jobId, startId, committed }: ModelRecovery,
  holder: string,
  take: (words: Int32Array | null) => void,
): void {
  const { length } = wordsOfDigest(committed.digest);
  const request = encodeMessage(recoverRequestSchema, { startId, committed, offset: 0, count: length });
  link.ask(recoverSubject(jobId, holder), request, world.limits.requestTimeoutMs, (bytes) => {
    if (bytes === null) return take(null);
    const words = decodeStateFrame({ jobId, startId }, committed.step, 0, bytes);
    take(words.length === length ? words : null);
  });
}
