/** What a member tells its peers of the chunks that have arrived from them. */
import type { Incoming, Peer } from "./peers.ts";
import type { RoundFrames } from "./round_frames.ts";

/** Acks per window: often enough that the sender need not wait for them. */
const ACKS_PER_WINDOW = 4;

export class Acks {
  readonly #frames: Pick<RoundFrames, "encodeAck">;
  readonly #sender: { ack(member: number, frame: Uint8Array): void };
  readonly #every: number;

  constructor(
    frames: Pick<RoundFrames, "encodeAck">,
    sender: { ack(member: number, frame: Uint8Array): void },
    windowChunks: number,
  ) {
    this.#frames = frames;
    this.#sender = sender;
    this.#every = Math.max(1, Math.floor(windowChunks / ACKS_PER_WINDOW));
  }

  /** One more chunk has arrived. */
  confirm(peer: Peer, from: Incoming): void {
    if (++from.unconfirmed >= this.#every || from.arrived.isFull) this.#send(peer, from, false);
  }

  /** Tells what has arrived from a peer that still owes chunks, and asks for the others. */
  askForRest(peer: Peer): void {
    for (const from of [peer.sums, peer.finished]) {
      if (!from.arrived.isFull) this.#send(peer, from, true);
    }
  }

  #send({ member }: Peer, from: Incoming, wantsRest: boolean): void {
    from.unconfirmed = 0;
    this.#sender.ack(member, this.#frames.encodeAck(from.owner, from.arrived, wantsRest));
  }
}
