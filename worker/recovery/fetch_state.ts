/**
 * The joiner's side of recovery: loads the newest committed state from a worker that holds it, piece by piece. It asks for what
 * it wants, so that a lost message costs one piece, and a holder that is gone costs nothing but the deadline.
 */
import type { Bus } from "../../shared/bus/bus.ts";
import type { Clock } from "../../shared/clock.ts";
import { LoraFleetError, quote } from "../../shared/errors.ts";
import { type Limits, recoverWaitMs } from "../../shared/protocol/limits.ts";
import { type Committed, encodeMessage, recoverRequestSchema } from "../../shared/protocol/messages.ts";
import { recoverSubject } from "../../shared/protocol/subjects.ts";
import { unlessAborted, withDeadline } from "../async/abortable.ts";
import type { TrainingState } from "../optimizer/adamw_state.ts";
import { decodeStateFrame, maxPieceWords } from "../../shared/protocol/state_frame.ts";
import { type Piece, piecesOf, stateOfWords, stateWordCount } from "./state_words.ts";

/** Enough to fill a link of 50 MB/s at 40 ms of delay. */
const REQUESTS_IN_FLIGHT = 4;
/** Between two tries of a piece that came back damaged. */
const PAUSE_MS = 50;

export interface RecoverOptions {
  /** Better not the connection of the heartbeats. */
  readonly bus: Bus;
  readonly clock: Clock;
  readonly limits: Limits;
  readonly jobId: string;
  readonly startId: string;
  /** Elements of the adapter's flat array. */
  readonly elementCount: number;
  readonly committed: Committed;
  readonly holder: string;
  /** Aborts when the state has moved on. */
  readonly signal: AbortSignal;
}

/**
 * The state as the holder gives it; nothing has been compared with the commit's digest yet. Rejects with the signal's reason,
 * with code `conflict` where the holder has not got the state any more, and with code `timeout`.
 */
export async function fetchState(options: RecoverOptions): Promise<TrainingState> {
  const { bus, clock, limits, elementCount, committed, holder, signal } = options;
  const words = new Int32Array(stateWordCount(elementCount));
  const left = [...piecesOf(words.length, maxPieceWords(bus.maxPayloadBytes))].reverse();
  const what = `loading the state of step ${committed.step} from ${quote(holder)}`;
  await withDeadline(clock, recoverWaitMs(4 * elementCount, limits), what, signal, async (signal) => {
    const lane = async () => {
      for (let piece = left.pop(); piece !== undefined; piece = left.pop()) {
        words.set(await fetchPiece(options, piece, signal), piece.offset);
      }
    };
    await Promise.all(Array.from({ length: REQUESTS_IN_FLIGHT }, lane));
  });
  return stateOfWords(words, committed.step);
}

async function fetchPiece(options: RecoverOptions, piece: Piece, signal: AbortSignal): Promise<Int32Array> {
  const { bus, clock, limits, jobId, startId, committed, holder } = options;
  const { offset, count } = piece;
  const request = encodeMessage(recoverRequestSchema, { startId, committed, offset, count });
  for (;;) {
    signal.throwIfAborted();
    try {
      const bytes = await unlessAborted(
        bus.request(recoverSubject(jobId, holder), request, limits.requestTimeoutMs),
        signal,
      );
      const words = decodeStateFrame({ jobId, startId }, committed.step, offset, bytes);
      if (words.length === count) return words;
      throw new LoraFleetError(
        "conflict",
        `${
          quote(holder)
        } gives ${words.length} of the ${count} words from ${offset} on of step ${committed.step}'s ` +
          "state: it does not hold that commit any more",
      );
    } catch (thrown) {
      signal.throwIfAborted();
      const isTransient = thrown instanceof LoraFleetError &&
        (thrown.code === "timeout" || thrown.code === "corrupt");
      if (!isTransient) throw thrown;
    }
    await clock.sleep(PAUSE_MS, signal);
  }
}
