/** Rows by the space they have left: finds the one with the least space that suffices in O(log capacity). */

interface SpaceTree<T> {
  /** `space` is 1 … capacity. */
  add(space: number, item: T): void;
  /** Removes the item with the smallest space of at least `needed`, the earliest among equals; null if none. */
  takeSmallest(needed: number): { readonly space: number; readonly item: T } | null;
}

/** A segment tree over the spaces, each leaf a queue; a node holds the largest space below it that has an item. */
export function createSpaceTree<T>(capacity: number): SpaceTree<T> {
  const leafCount = 2 ** Math.ceil(Math.log2(Math.max(1, capacity)));
  const largest = new Uint32Array(2 * leafCount);
  const queues = new Map<number, Queue<T>>();

  const set = (space: number, value: number): void => {
    let node = leafCount + space - 1;
    largest[node] = value;
    while (node > 1) {
      node >>= 1;
      largest[node] = Math.max(largest[2 * node]!, largest[2 * node + 1]!);
    }
  };

  return {
    add(space, item) {
      const queue = queues.get(space) ?? new Queue<T>();
      if (queue.size === 0) set(space, space);
      queue.push(item);
      queues.set(space, queue);
    },
    takeSmallest(needed) {
      if (largest[1]! < needed) return null;
      let node = 1;
      while (node < leafCount) {
        node *= 2;
        if (largest[node]! < needed) node++;
      }
      const space = largest[node]!;
      const queue = queues.get(space)!;
      const item = queue.shift();
      if (queue.size === 0) set(space, 0);
      return { space, item };
    },
  };
}

/** First in, first out; `Array.shift` would be linear in the rows of one space. */
class Queue<T> {
  #items: T[] = [];
  #head = 0;

  get size(): number {
    return this.#items.length - this.#head;
  }

  push(item: T): void {
    this.#items.push(item);
  }

  /** The queue must not be empty. */
  shift(): T {
    const item = this.#items[this.#head++]!;
    if (this.#head > 1000 && this.#head * 2 > this.#items.length) {
      this.#items = this.#items.slice(this.#head);
      this.#head = 0;
    }
    return item;
  }
}
