/** Serves a stored training state as a worker that holds it would, to workers that join when all others are gone. */
import type { Bus, Subscription } from "../../../shared/bus/bus.ts";
import { decodeMessage } from "../../../shared/protocol/messages_codec.ts";
import { type Committed, recoverRequestSchema } from "../../../shared/protocol/messages_worker.ts";
import { encodeStateFrame, maxPieceWords } from "../../../shared/protocol/state/state_frame.ts";
import { recoverSubject } from "../../../shared/protocol/subjects.ts";
import type { StoredState } from "../../storage/artifact_store.ts";
import { listen, type OnDefect } from "../listen.ts";
import { COORDINATOR_HOLDER } from "../../training/state/announcement.ts";

/** Concurrent reads, of half a MiB each. */
const MAX_OPEN = 32;
const MAX_REQUEST_BYTES = 4096;

/** A stored state and the commit that it belongs to. */
export interface ServedState {
  readonly committed: Committed;
  readonly state: Pick<StoredState, "readWords">;
}

/** @param served the stored state; null unless it belongs to the newest commit */
export function serveStoredState(options: {
  readonly bus: Bus;
  readonly jobId: string;
  readonly startId: string;
  readonly served: () => ServedState | null;
  readonly onDefect: OnDefect;
}): Subscription {
  const { bus, jobId, startId, served } = options;
  let open = 0;
  let defects = 0;
  /** Reports the 1st, 10th, 100th …: the subject does not name the sender, who must not be able to fill the log. */
  const onDefect: OnDefect = (message, thrown) => {
    if (Number.isInteger(Math.log10(++defects))) options.onDefect(`${message} (time ${defects})`, thrown);
  };
  return listen(bus, recoverSubject(jobId, COORDINATOR_HOLDER), (message) => {
    // Bounds the memory, however fast requests arrive: a worker without an answer asks again.
    if (open >= MAX_OPEN || message.data.byteLength > MAX_REQUEST_BYTES) return;
    const request = decodeMessage(recoverRequestSchema, message.data, "a request for the committed state");
    const { committed: { step, digest }, offset, count } = request;
    const held = served();
    const isHeld = held !== null && request.startId === startId && held.committed.step === step &&
      held.committed.digest === digest && count <= maxPieceWords(bus.maxPayloadBytes);
    const words = isHeld ? held.state.readWords(offset, count) : Promise.resolve(new Int32Array(0));
    open++;
    words.finally(() => open--).then(
      (words) => message.respond(encodeStateFrame({ jobId, startId }, step, offset, words)),
      (thrown) => onDefect(`a request for the stored state of step ${step} has no answer`, thrown),
    );
  }, onDefect);
}
