/**
 * The joiner's side of recovery: requests the newest committed state from a holder, piece by piece, so that a lost message costs
 * one piece, and a lost holder no more than the deadline.
 */
import type { Bus } from "../../shared/bus/bus.ts";
import { LoraFleetError, quote } from "../../shared/errors.ts";
import { recoverWaitMs } from "../../shared/protocol/limits.ts";
import { encodeMessage } from "../../shared/protocol/messages_codec.ts";
import { type Committed, recoverRequestSchema } from "../../shared/protocol/messages_worker.ts";
import { recoverSubject } from "../../shared/protocol/subjects.ts";
import { withDeadline } from "../async/abortable.ts";
import { askUntilRead } from "../async/ask.ts";
import type { Runtime } from "../async/runtime.ts";
import type { TrainingState } from "../optimizer/adamw_state.ts";
import { decodeStateFrame, maxPieceWords } from "../../shared/protocol/state/state_frame.ts";
import { type Piece, piecesOf, stateOfWords, stateWordCount } from "./state_words.ts";

/** Enough to fill a link of 50 MB/s at 40 ms of delay. */
const REQUESTS_IN_FLIGHT = 4;

/** What both sides of a recovery share. */
export interface StateTransfer extends Runtime {
  /** Preferably not the connection of the heartbeats. */
  readonly bus: Bus;
  readonly jobId: string;
  readonly startId: string;
  /** Of the adapter's flat array. */
  readonly elementCount: number;
}

export interface FetchStateOptions extends StateTransfer {
  readonly committed: Committed;
  readonly holder: string;
  /** Aborts when the announced state has moved on. */
  readonly signal: AbortSignal;
}

/**
 * The holder's state, not yet compared with the commit's digest. Rejects with the signal's reason, with code `conflict` if the
 * holder no longer has the state, and with code `timeout`.
 */
export async function fetchState(options: FetchStateOptions): Promise<TrainingState> {
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

function fetchPiece(options: FetchStateOptions, piece: Piece, signal: AbortSignal): Promise<Int32Array> {
  const { bus, clock, limits, jobId, startId, committed, holder } = options;
  const { offset, count } = piece;
  const request = {
    ...{ bus, clock, limits, signal },
    subject: recoverSubject(jobId, holder),
    data: encodeMessage(recoverRequestSchema, { startId, committed, offset, count }),
  };
  return askUntilRead(request, (bytes) => {
    const words = decodeStateFrame({ jobId, startId }, committed.step, offset, bytes);
    if (words.length === count) return words;
    const what =
      `${words.length} of the ${count} words from ${offset} of the state of step ${committed.step}`;
    throw new LoraFleetError("conflict", `${quote(holder)} sent ${what}: it no longer holds that commit`);
  });
}
