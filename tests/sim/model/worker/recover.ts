/** How a model worker that is behind loads the newest state: `worker/recovery/fetch_state.ts`, with real requests to holders. */
import { crc32 } from "node:zlib";
import { encodeMessage } from "../../../../shared/protocol/messages_codec.ts";
import type { StepState } from "../../../../shared/protocol/messages_coordinator.ts";
import { type Committed, recoverRequestSchema } from "../../../../shared/protocol/messages_worker.ts";
import { decodeStateFrame } from "../../../../shared/protocol/state/state_frame.ts";
import { recoverSubject } from "../../../../shared/protocol/subjects.ts";
import { holdersFor, sameCommit } from "../../../../worker/step/step_action.ts";
import { digestOfWords, wordsOfDigest } from "../world/contribution.ts";
import { transferMs } from "../world/link_model.ts";
import type { SessionContext } from "./session_context.ts";

/** Asks one holder after the other: the first piece, the time of the whole state, and the last piece. */
export function recover(context: SessionContext, state: StepState): void {
  const { world, link, self } = context.options;
  const committed = state.committed!;
  const recovering = context.begin((newer) => sameCommit(newer.committed, committed));
  const holders = holdersFor(state, self);
  const first = crc32(self.worker);
  const isWanted = () => context.isDoing(recovering);

  function tryHolder(time: number): void {
    if (!isWanted()) return;
    if (time >= holders.length) {
      return void link.after(world.limits.retryIntervalMs, () => isWanted() && context.end(recovering));
    }
    const holder = holders[(first + time) % holders.length]!;
    if (!context.newest!.holders.includes(holder)) return tryHolder(time + 1);
    askPiece(context, committed, holder, (piece) => {
      if (!isWanted()) return;
      if (piece === null) return tryHolder(time + 1);
      const from = world.linkOf(holder)?.speed ?? link.speed;
      link.after(transferMs(3 * world.gradientBytes, from, link.speed), () => {
        if (!isWanted()) return;
        askPiece(context, committed, holder, (words) => {
          if (!isWanted()) return;
          if (words === null) return tryHolder(time + 1);
          context.own = { ...context.own, committed: { step: committed.step, digest: digestOfWords(words) } };
          context.note(`has loaded step ${committed.step} from ${holder}`);
          context.reportHeld();
          context.end(recovering);
        });
      });
    });
  }
  tryHolder(0);
}

/** Passes null if the holder does not answer or holds a different state. */
function askPiece(
  { options: { world, link, job: { jobId, startId } } }: SessionContext,
  committed: Committed,
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
