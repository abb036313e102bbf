/** The holder's side of recovery: answers requests for pieces of this worker's committed state. */
import type { BusMessage } from "../../shared/bus/bus.ts";
import { messageOf } from "../../shared/errors.ts";
import { decodeMessage } from "../../shared/protocol/messages_codec.ts";
import type { Committed, RecoverRequest } from "../../shared/protocol/messages_worker.ts";
import { recoverRequestSchema } from "../../shared/protocol/messages_worker.ts";
import { recoverSubject } from "../../shared/protocol/subjects.ts";
import type { TrainingState } from "../optimizer/adamw_state.ts";
import { sameCommit } from "../step/step_action.ts";
import { encodeStateFrame, maxPieceWords } from "../../shared/protocol/state/state_frame.ts";
import type { StateTransfer } from "./fetch_state.ts";
import { readStateWords, stateWordCount } from "./state_words.ts";

/** The state, whose memory updates leave alone meanwhile, is given back after this long without a request. */
const IDLE_MS = 10_000;

interface StateServerOptions extends StateTransfer {
  readonly self: string;
  readonly exportState: () => Promise<TrainingState>;
  /** The commit that the engine holds, or will hold after the calls made so far; null while that is unknown. */
  readonly committed: () => Committed | null;
}

interface Snapshot {
  readonly of: Committed;
  readonly state: Promise<TrainingState>;
  lastAskedAt: number;
}

export interface StateServer {
  /** Whether requests arrived lately. */
  readonly isServing: boolean;
  close(): void;
}

export function serveState(options: StateServerOptions): StateServer {
  const { bus, clock, jobId, startId, self, elementCount, committed, log } = options;
  const closed = new AbortController();
  /** One for all requesters. */
  let snapshot: Snapshot | null = null;

  /** Null if the request is for anything but the state held now. */
  function stateFor(request: RecoverRequest): Promise<TrainingState> | null {
    const held = committed();
    if (held === null || request.startId !== startId || !sameCommit(request.committed, held)) return null;
    if (request.offset + request.count > stateWordCount(elementCount)) return null;
    if (request.count > maxPieceWords(bus.maxPayloadBytes)) return null;
    if (snapshot === null || !sameCommit(snapshot.of, held)) {
      const state = options.exportState();
      snapshot = { of: held, state, lastAskedAt: clock.now() };
      log("info", `sending the state of step ${held.step} to a recovering worker`);
      dropWhenIdle(snapshot);
    }
    snapshot.lastAskedAt = clock.now();
    return snapshot.state;
  }

  function dropWhenIdle(mine: Snapshot): void {
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
    // The requester repeats its request, here or elsewhere.
    reply().catch((thrown) => {
      snapshot = null;
      log("warn", `cannot answer a request for the committed state: ${messageOf(thrown)}`);
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
