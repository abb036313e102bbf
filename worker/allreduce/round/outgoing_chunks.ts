/** The sender's side of one stream of chunks: which are ready, in flight, or to be sent again. Pure. */
import { ChunkSet } from "./chunk_set.ts";

/** `receiver` is null for the first sending, which is for all receivers. */
export interface Sending {
  readonly chunk: number;
  readonly receiver: number | null;
}

/** A chunk is in flight from its sending until all receivers have confirmed it; `windowChunks` may be. */
export class OutgoingChunks {
  readonly #chunkCount: number;
  readonly #windowChunks: number;
  readonly #ready: number[] = [];
  readonly #sent: ChunkSet;
  readonly #arrived: ReadonlyMap<number, ChunkSet>;
  readonly #unconfirmed: Uint16Array;
  readonly #again: { readonly receiver: number; readonly chunk: number }[] = [];
  #nextReady = 0;
  #inFlight = 0;

  constructor(chunkCount: number, receivers: readonly number[], windowChunks: number) {
    this.#chunkCount = chunkCount;
    this.#windowChunks = windowChunks;
    this.#sent = new ChunkSet(chunkCount);
    this.#arrived = new Map(receivers.map((receiver) => [receiver, new ChunkSet(chunkCount)]));
    this.#unconfirmed = new Uint16Array(chunkCount).fill(receivers.length);
  }

  /** The chunk may be sent from now on. Call it once for each. */
  offer(chunk: number): void {
    this.#ready.push(chunk);
  }

  get offeredCount(): number {
    return this.#ready.length;
  }

  /** What to send now; null if nothing is ready or the window is full. */
  next(): Sending | null {
    for (let sending = this.#again.shift(); sending !== undefined; sending = this.#again.shift()) {
      if (!this.#arrived.get(sending.receiver)!.has(sending.chunk)) return sending;
    }
    if (this.#nextReady === this.#ready.length || this.#inFlight >= this.#windowChunks) return null;
    const chunk = this.#ready[this.#nextReady++]!;
    this.#sent.add(chunk);
    this.#inFlight++;
    return { chunk, receiver: null };
  }

  confirm(receiver: number, arrived: ChunkSet): void {
    for (let chunk = 0; chunk < this.#chunkCount; chunk++) {
      if (arrived.has(chunk)) this.confirmOne(receiver, chunk);
    }
  }

  confirmOne(receiver: number, chunk: number): void {
    // Ignore an ack for a chunk that was never sent.
    if (!this.#sent.has(chunk) || !this.#arrived.get(receiver)?.add(chunk)) return;
    if (--this.#unconfirmed[chunk]! === 0) this.#inFlight--;
  }

  /** Sends this receiver again all sent chunks that have not arrived there. */
  repeat(receiver: number): void {
    const arrived = this.#arrived.get(receiver);
    if (arrived === undefined) return;
    const waiting = new Set(this.#again.filter((it) => it.receiver === receiver).map(({ chunk }) => chunk));
    for (let chunk = 0; chunk < this.#chunkCount; chunk++) {
      const isMissing = this.#sent.has(chunk) && !arrived.has(chunk) && !waiting.has(chunk);
      if (isMissing) this.#again.push({ receiver, chunk });
    }
  }

  wasSent(chunk: number): boolean {
    return this.#sent.has(chunk);
  }

  /** Every chunk was sent at least once. */
  get isSent(): boolean {
    return this.#sent.isFull;
  }
}
