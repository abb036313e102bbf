/** The sleepers of a fake clock: a binary heap, first by time, then by the order in which they fell asleep. */
export interface Sleeper {
  readonly at: number;
  readonly order: number;
  readonly wake: () => void;
}

export class SleeperHeap {
  readonly #heap: Sleeper[] = [];
  /** Aborted sleepers, which leave the heap once they are first. */
  readonly #aborted = new Set<Sleeper>();

  /** The next one to wake; null if all are awake. */
  first(): Sleeper | null {
    while (this.#heap.length > 0 && this.#aborted.delete(this.#heap[0]!)) this.removeFirst();
    return this.#heap[0] ?? null;
  }

  add(sleeper: Sleeper): void {
    const heap = this.#heap;
    let at = heap.push(sleeper) - 1;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (!isBefore(sleeper, heap[parent]!)) break;
      heap[at] = heap[parent]!;
      at = parent;
    }
    heap[at] = sleeper;
  }

  abort(sleeper: Sleeper): void {
    this.#aborted.add(sleeper);
  }

  removeFirst(): void {
    const heap = this.#heap;
    const last = heap.pop()!;
    if (heap.length === 0) return;
    let at = 0;
    while (true) {
      let child = 2 * at + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && isBefore(heap[child + 1]!, heap[child]!)) child++;
      if (!isBefore(heap[child]!, last)) break;
      heap[at] = heap[child]!;
      at = child;
    }
    heap[at] = last;
  }
}

function isBefore(a: Sleeper, b: Sleeper): boolean {
  return a.at < b.at || (a.at === b.at && a.order < b.order);
}
