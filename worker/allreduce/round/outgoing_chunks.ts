/** The sender's side of one stream of chunks: what is ready, what is on its way, what has to be sent again. Pure. */
import { type ChunkSet, createChunkSet } from "./chunk_set.ts";

/** `receiver` is null for the first time, which is for all of them. */
export interface Sending {
  readonly chunk: number;
  readonly receiver: number | null;
}

export interface OutgoingChunks {
  /** The chunk may be sent from now on. Once for each. */
  offer(chunk: number): void;
  /** What to send now; null where nothing is ready or the window is full. */
  next(): Sending | null;
  /** These have arrived. */
  confirm(receiver: number, arrived: ChunkSet): void;
  confirmOne(receiver: number, chunk: number): void;
  /** Whatever was sent and has not arrived at this receiver is sent again. */
  repeat(receiver: number): void;
  wasSent(chunk: number): boolean;
  /** Every chunk was sent at least once. */
  readonly isSent: boolean;
}

/** A chunk is in flight from its sending until all receivers have confirmed it; `windowChunks` may be. */
export function createOutgoingChunks(
  chunkCount: number,
  receivers: readonly number[],
  windowChunks: number,
): OutgoingChunks {
  const ready: number[] = [];
  const sent = createChunkSet(chunkCount);
  const arrived = new Map(receivers.map((receiver) => [receiver, createChunkSet(chunkCount)]));
  const unconfirmed = new Uint16Array(chunkCount).fill(receivers.length);
  const again: { receiver: number; chunk: number }[] = [];
  let nextReady = 0;
  let inFlight = 0;

  function confirmOne(receiver: number, chunk: number): void {
    // Nobody can have what was not sent: an ack that says so is not believed.
    if (!sent.has(chunk) || !arrived.get(receiver)?.add(chunk)) return;
    if (--unconfirmed[chunk]! === 0) inFlight--;
  }

  function next(): Sending | null {
    for (let sending = again.shift(); sending !== undefined; sending = again.shift()) {
      if (!arrived.get(sending.receiver)!.has(sending.chunk)) return sending;
    }
    if (nextReady === ready.length || inFlight >= windowChunks) return null;
    const chunk = ready[nextReady++]!;
    sent.add(chunk);
    inFlight++;
    return { chunk, receiver: null };
  }

  return {
    offer: (chunk) => void ready.push(chunk),
    next,
    confirmOne,
    confirm: (receiver, chunks) => {
      for (let chunk = 0; chunk < chunkCount; chunk++) if (chunks.has(chunk)) confirmOne(receiver, chunk);
    },
    repeat: (receiver) => {
      const has = arrived.get(receiver);
      if (has === undefined) return;
      const waiting = new Set(
        again.filter((sending) => sending.receiver === receiver).map(({ chunk }) => chunk),
      );
      for (let chunk = 0; chunk < chunkCount; chunk++) {
        if (sent.has(chunk) && !has.has(chunk) && !waiting.has(chunk)) again.push({ receiver, chunk });
      }
    },
    wasSent: (chunk) => sent.has(chunk),
    get isSent() {
      return sent.isFull;
    },
  };
}
