/** An array that fills from its beginning, by whoever reads it from somewhere, while others use what is there already. */

/** Is told how far the array is. */
export interface Arriving {
  /** Elements that are there. They belong to the reader's caller: a reading that begins again does not write them again. */
  readonly count: number;
  /** From now on the first `count` elements of `array` are there; more each time. */
  reach(array: Int32Array, count: number): void;
}

export class Arrival implements Arriving {
  #count = 0;
  readonly #begun = Promise.withResolvers<Int32Array>();
  readonly #whole = Promise.withResolvers<void>();
  #onMore = () => {};

  get count(): number {
    return this.#count;
  }

  /** The array, as soon as its first elements are there. */
  get begun(): Promise<Int32Array> {
    return this.#begun.promise;
  }

  /** All elements are there. Never settles if they do not come. */
  get whole(): Promise<void> {
    return this.#whole.promise;
  }

  reach(array: Int32Array, count: number): void {
    if (count < this.#count) return;
    this.#count = count;
    this.#begun.resolve(array);
    if (count === array.length) this.#whole.resolve();
    this.#onMore();
  }

  /** Calls `onMore` instead of an earlier one whenever there is more. */
  watch(onMore: () => void): void {
    this.#onMore = onMore;
  }
}
