/** Takes chunks from a member's streams in turn: one to each other owner, and one of its own finished range. */
import type { OutgoingChunks, Sending } from "./outgoing_chunks.ts";

export class OutgoingStreams {
  readonly #streams: readonly { readonly owner: number; readonly outgoing: OutgoingChunks }[];
  #turn = 0;

  /** Each member begins with a different owner, so that the first one is not flooded. */
  constructor(
    peers: ReadonlyMap<number, { readonly outgoing: OutgoingChunks }>,
    selfIndex: number,
    own: OutgoingChunks,
  ) {
    const owners = [...peers.keys()];
    const inOrder = [...owners.filter((it) => it > selfIndex), ...owners.filter((it) => it < selfIndex)];
    this.#streams = [
      ...inOrder.map((owner) => ({ owner, outgoing: peers.get(owner)!.outgoing })),
      { owner: selfIndex, outgoing: own },
    ];
  }

  /** Null if no stream has a chunk to send now. */
  next(): { readonly owner: number; readonly sending: Sending } | null {
    for (let tried = 0; tried < this.#streams.length; tried++) {
      const { owner, outgoing } = this.#streams[this.#turn]!;
      this.#turn = (this.#turn + 1) % this.#streams.length;
      const sending = outgoing.next();
      if (sending !== null) return { owner, sending };
    }
    return null;
  }
}
