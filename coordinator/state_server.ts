/** A stored training state, given away as by a worker that holds it: for workers that come when all others are gone. */
import type { Bus } from "../shared/bus/bus.ts";
import { LoraFleetError, messageOf, quote } from "../shared/errors.ts";
import { type Committed, decodeMessage, recoverRequestSchema } from "../shared/messages.ts";
import { encodeStateFrame, maxPieceWords } from "../shared/state_frame.ts";
import { recoverSubject } from "../shared/subjects.ts";
import { listen, type OnDefect } from "./listen.ts";
import { COORDINATOR_HOLDER } from "./step_state.ts";

/** A stored state and the commit that it belongs to. */
export interface ServedState {
  readonly committed: Committed;
  readonly path: string;
}

export interface StateServer {
  close(): void;
}

/** @param served what is stored at the moment; null where it is not the state of the newest commit */
export function serveStoredState(options: {
  readonly bus: Bus;
  readonly jobId: string;
  readonly startId: string;
  readonly served: () => ServedState | null;
  readonly onDefect: OnDefect;
}): StateServer {
  const { bus, jobId, startId, served, onDefect } = options;
  const subscription = listen(bus, recoverSubject(jobId, COORDINATOR_HOLDER), (message) => {
    const request = decodeMessage(recoverRequestSchema, message.data, "a request for the committed state");
    const { committed: { step, digest }, offset, count } = request;
    const state = served();
    const isHeld = state !== null && request.startId === startId && state.committed.step === step &&
      state.committed.digest === digest && count <= maxPieceWords(bus.maxPayloadBytes);
    const words = isHeld ? readWords(state.path, offset, count) : Promise.resolve(new Int32Array(0));
    words.then(
      (words) => message.respond(encodeStateFrame({ jobId, startId }, step, offset, words)),
      (thrown) => onDefect(`a request for the stored state of step ${step} has no answer`, thrown),
    );
  }, onDefect);
  return { close: () => subscription.close() };
}

/**
 * Words of a training state's file from a position on: its tensors follow each other behind the header in the order of
 * adapter, first moment, second moment (worker/model/training_state_file.ts). Fewer words where the file ends.
 */
export async function readWords(path: string, offset: number, count: number): Promise<Int32Array> {
  using file = await Deno.open(path).catch((cause) => {
    throw new LoraFleetError("storage", `cannot read ${quote(path)}: ${messageOf(cause)}`, { cause });
  });
  const length = new DataView(new ArrayBuffer(8));
  await readFully(file, new Uint8Array(length.buffer));
  const dataStart = 8 + Number(length.getBigUint64(0, true));
  await file.seek(dataStart + 4 * offset, Deno.SeekMode.Start);
  const bytes = new Uint8Array(4 * count);
  const got = await readFully(file, bytes);
  return new Int32Array(bytes.buffer, 0, Math.floor(got / 4));
}

async function readFully(file: Deno.FsFile, bytes: Uint8Array): Promise<number> {
  let at = 0;
  while (at < bytes.length) {
    const got = await file.read(bytes.subarray(at));
    if (got === null) break;
    at += got;
  }
  return at;
}
