/** A hash table from pairs of small non-negative integers to one: no allocation, and no strings, on the hot path. */
export class PairTable {
  #lefts: Int32Array;
  #rights: Int32Array;
  #values: Int32Array;
  #mask: number;
  #size = 0;

  constructor(expected: number) {
    const capacity = 2 ** Math.ceil(Math.log2(Math.max(16, expected * 2)));
    this.#lefts = new Int32Array(capacity).fill(-1);
    this.#rights = new Int32Array(capacity);
    this.#values = new Int32Array(capacity);
    this.#mask = capacity - 1;
  }

  /** -1 if the pair is unknown. */
  get(left: number, right: number): number {
    const lefts = this.#lefts;
    const rights = this.#rights;
    for (let slot = this.#slotOf(left, right);; slot = (slot + 1) & this.#mask) {
      if (lefts[slot] === left && rights[slot] === right) return this.#values[slot]!;
      if (lefts[slot] === -1) return -1;
    }
  }

  set(left: number, right: number, value: number): void {
    if (this.#size * 2 > this.#mask) this.#grow();
    let slot = this.#slotOf(left, right);
    while (this.#lefts[slot] !== -1) {
      if (this.#lefts[slot] === left && this.#rights[slot] === right) {
        this.#values[slot] = value;
        return;
      }
      slot = (slot + 1) & this.#mask;
    }
    this.#size++;
    this.#lefts[slot] = left;
    this.#rights[slot] = right;
    this.#values[slot] = value;
  }

  #slotOf(left: number, right: number): number {
    // The finaliser of MurmurHash3: every bit of the pair changes every bit of the slot.
    let mixed = Math.imul(left, 0x9e3779b1) ^ right;
    mixed = Math.imul(mixed ^ (mixed >>> 16), 0x85ebca6b);
    mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35);
    return (mixed ^ (mixed >>> 16)) & this.#mask;
  }

  #grow(): void {
    const larger = new PairTable(this.#size * 2);
    this.#lefts.forEach((left, slot) => {
      if (left !== -1) larger.set(left, this.#rights[slot]!, this.#values[slot]!);
    });
    this.#lefts = larger.#lefts;
    this.#rights = larger.#rights;
    this.#values = larger.#values;
    this.#mask = larger.#mask;
  }
}
