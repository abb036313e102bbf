/** What the tests of the all-reduce share: subjects, members with random sums, and a bus that does what networks do. */
import type { Bus } from "../../shared/bus/bus.ts";
import type { FakeClock } from "../../shared/testing/fake_clock.ts";
import { pcg32, type Prng } from "../../shared/prng.ts";

/** Shares of published messages, 0 to 1. */
export interface Faults {
  readonly drop: number;
  readonly duplicate: number;
  readonly corrupt: number;
  /** Held back until some later messages are out. */
  readonly reorder: number;
}

/** A bus whose publications suffer, as the seed decides. */
export function faultyBus(bus: Bus, faults: Faults, seed: number): Bus {
  const random = pcg32(seed);
  const held: { after: number; publish: () => void }[] = [];

  function publish(subject: string, published: Uint8Array): void {
    // The publisher may reuse the memory while the message is held.
    const data = published.slice();
    for (const message of held) message.after--;
    const send = () => bus.publish(subject, damaged(data, faults.corrupt, random));
    const isHeld = random.uniform() < faults.reorder;
    const copies = random.uniform() < faults.drop ? 0 : random.uniform() < faults.duplicate ? 2 : 1;
    for (let copy = 0; copy < copies; copy++) {
      if (isHeld) held.push({ after: 1 + random.below(8), publish: send });
      else send();
    }
    const due = held.filter(({ after }) => after <= 0);
    for (const message of due) {
      held.splice(held.indexOf(message), 1);
      message.publish();
    }
  }

  return { ...bus, publish };
}

function damaged(data: Uint8Array, share: number, random: Prng): Uint8Array {
  if (random.uniform() >= share) return data;
  if (random.below(3) === 0) return data.subarray(0, random.below(data.length));
  const changed = data.slice();
  changed[random.below(changed.length)]! ^= 1 + random.below(255);
  return changed;
}

/** Gradient sums of each member that cannot overflow when they are added. */
export function randomSums(memberCount: number, elementCount: number, seed: number): Int32Array[] {
  const shift = Math.ceil(Math.log2(memberCount));
  let state = seed;
  return Array.from({ length: memberCount }, () =>
    new Int32Array(elementCount).map(() => {
      // Numerical Recipes' generator: large arrays have to be quick, and its upper bits are good enough.
      state = (Math.imul(state, 1_664_525) + 1_013_904_223) | 0;
      return state >> shift;
    }));
}

export function plainSum(all: readonly Int32Array[]): Int32Array {
  const total = new Int32Array(all[0]!.length);
  for (const sums of all) sums.forEach((value, index) => total[index]! += value);
  return total;
}

/** Lets the clock run until the promise has an outcome. */
export async function drive<T>(clock: FakeClock, promise: Promise<T>): Promise<T> {
  let isSettled = false;
  promise.then(() => isSettled = true, () => isSettled = true);
  for (let turn = 0; turn < 200_000 && !isSettled; turn++) await clock.advance(1);
  if (!isSettled) throw new Error("no outcome after 200 s of the clock's time");
  return await promise;
}

/**
 * Payload bytes that all workers together publish in one round without faults, headers apart: 4·N·W for W > 1.
 *
 * A worker whose own range has n of the N elements sends the other N − n to their owners and its finished n once, so N
 * elements of 4 bytes in all, however the ranges are cut; W of them send 4·N·W. A worker that is alone sends nothing.
 */
export function predictedBytes(elementCount: number, workerCount: number): number {
  return workerCount > 1 ? 4 * elementCount * workerCount : 0;
}
