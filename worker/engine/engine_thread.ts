/// <reference lib="deno.worker" />
/** The engine's thread. Deno's `mapAsync` blocks the waiting thread, so network and heartbeat live in the main thread. */
import type { Arriving } from "../async/arrival.ts";
import { buffersIn, failureOf } from "../async/thread_messages.ts";
import type { EngineAnswer, EngineCall, EngineNote, EngineProgress } from "./engine_calls.ts";
import { ResettingEngine } from "./resetting_engine.ts";
import { TrainingEngine } from "./training_engine.ts";

const tell = (note: EngineNote) => self.postMessage(note);
const engine = new ResettingEngine(new TrainingEngine({ tell: (note) => tell({ note }) }), { tell });
let last: Promise<void> = Promise.resolve();

/** Calls run one at a time, in order of arrival. */
self.onmessage = ({ data }: MessageEvent<EngineCall>) => {
  last = last.then(() => answer(data));
};

async function answer(call: EngineCall): Promise<void> {
  try {
    const method: (...args: never[]) => Promise<unknown> = engine[call.method];
    const args = call.method === "readSums" ? [arrivingOf(call.id)] : call.args;
    const value = await method.apply(engine, args as never[]);
    // The engine returns copies, which can be transferred, and arrays in shared memory, which all threads see.
    send({ id: call.id, ok: true, value }, buffersIn(value));
  } catch (thrown) {
    send({ id: call.id, ok: false, error: failureOf(thrown) });
  }
}

/** Tells the caller of sums in the shared array. */
function arrivingOf(id: number): Arriving {
  let reached = 0;
  return {
    get count() {
      return reached;
    },
    reach: (sums, count) => {
      reached = count;
      send({ id, sums, count });
    },
  };
}

function send(message: EngineAnswer | EngineProgress, transfer: ArrayBuffer[] = []): void {
  self.postMessage(message, transfer);
}
