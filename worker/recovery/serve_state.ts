/** The holder's side of recovery: answers requests for pieces of the committed state that this worker holds. */
import type { Bus, BusMessage } from "../../shared/bus/bus.ts";
import type { Clock } from "../../shared/clock.ts";
import { messageOf } from "../../shared/errors.ts";
import { decodeMessage } from "../../shared/protocol/messages_codec.ts";
import {
  type Committed,
  type RecoverRequest,
  recoverRequestSchema,
} from "../../shared/protocol/messages_worker.ts";
import { recoverSubject } from "../../shared/protocol/subjects.ts";
import type { TrainingState } from "../optimizer/adamw_state.ts";
import type { Log } from "../../shared/log.ts";
import { sameCommit } from "../step/step_action.ts";
import { encodeStateFrame, maxPieceWords } from "../../shared/protocol/state_frame.ts";
import { readStateWords, stateWordCount } from "./state_words.ts";

/** A copy of the state that nobody asked for any more is let go after this long. */
const IDLE_MS = 10_000;

interface StateServerOptions {
  readonly bus: Bus;
  readonly clock: Clock;
  readonly jobId: string;
  readonly startId: string;
  readonly self: string;
  readonly elementCount: number;
  readonly exportState: () => Promise<TrainingState>;
  /** What the engine holds, or will hold once it has done what it was asked to do so far; null while that is not known. */
  readonly committed: () => Committed | null;
  readonly log: Log;
}

export interface StateServer {
  /** Whether somebody has asked lately. */
  readonly isServing: boolean;
  close(): void;
}

export function serveState(options: StateServerOptions): StateServer {
  const { bus, clock, jobId, startId, self, elementCount, committed, log } = options;
  const closed = new AbortController();
  /** One copy for all who ask, in words of the commit that it belongs to. */
  let snapshot:
    | { readonly of: Committed; readonly state: Promise<TrainingState>; lastAskedAt: number }
    | null = null;

  /** Null where the request is for anything but the state that is held now. */
  function stateFor(request: RecoverRequest): Promise<TrainingState> | null {
    const held = committed();
    if (held === null || request.startId !== startId || !sameCommit(request.committed, held)) return null;
    if (request.offset + request.count > stateWordCount(elementCount)) return null;
    if (request.count > maxPieceWords(bus.maxPayloadBytes)) return null;
    if (snapshot === null || !sameCommit(snapshot.of, held)) {
      const state = options.exportState();
      snapshot = { of: held, state, lastAskedAt: clock.now() };
      log("info", `another worker loads the state of step ${held.step} from here`);
      dropWhenIdle(snapshot);
    }
    snapshot.lastAskedAt = clock.now();
    return snapshot.state;
  }

  function dropWhenIdle(mine: NonNullable<typeof snapshot>): void {
    const idle = async () => {
      for (let restMs = IDLE_MS; restMs > 0; restMs = mine.lastAskedAt + IDLE_MS - clock.now()) {
        await clock.sleep(restMs, closed.signal);
      }
      if (snapshot === mine) snapshot = null;
    };
    idle().catch(() => {});
  }

  async function answer(request: RecoverRequest): Promise<Uint8Array> {
    const { committed: { step }, offset, count } = request;
    const state = await stateFor(request);
    const words = state === null ? new Int32Array(0) : readStateWords(state, offset, count);
    return encodeStateFrame({ jobId, startId }, step, offset, words);
  }

  function onRequest({ data, respond }: BusMessage): void {
    const reply = async () => {
      const request = decodeMessage(recoverRequestSchema, data, "a request for the committed state");
      const bytes = await answer(request);
      if (!closed.signal.aborted) respond(bytes);
    };
    // Who asked asks again, or somebody else.
    reply().catch((thrown) => {
      snapshot = null;
      log("warn", `a request for the committed state has no answer: ${messageOf(thrown)}`);
    });
  }

  const subscription = bus.subscribe(recoverSubject(jobId, self), onRequest);
  return {
    get isServing() {
      return snapshot !== null;
    },
    close: () => {
      closed.abort();
      subscription.close();
      snapshot = null;
    },
  };
}
