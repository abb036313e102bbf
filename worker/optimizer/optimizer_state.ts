/** An adapter under training: its current state, and beside it the outcome of an update until that is committed. */
import { LoraFleetError } from "../../shared/errors.ts";
import { Digests } from "./digests.ts";
import { constantsOf, normOf, type UpdateRequest } from "./adamw.ts";
import type { AdamWState, TrainingState } from "./adamw_state.ts";
import type { GradientLayout } from "../../shared/model/gradient_layout.ts";
import { allocateNumbers, allocateState, integersIn, isSameMemory } from "./shared_numbers.ts";
import { type StateMemories, viewOf } from "./shared_numbers.ts";
import { Crew, threadsFor } from "./threads/crew.ts";
import type { UpdateWork } from "./threads/update_work.ts";
import { formerDigestOf } from "../../shared/protocol/state/state_digest.ts";

const ARRAYS = ["adapter", "firstMoment", "secondMoment"] as const;

interface OptimizerOptions {
  /** Gets a sentence for the log when a thread is lost. */
  readonly tell?: (note: string) => void;
  /** Threads that compute updates. Default: by the adapter's size and the machine's cores. */
  readonly crew?: Crew;
}

/** Whether a state that does not have the digest that it should have has it in its former form. */
export function isFormerDigest(
  expected: string | undefined,
  digest: string,
  { adapter, firstMoment, secondMoment }: AdamWState,
): expected is string {
  return expected !== undefined && expected !== digest &&
    expected === formerDigestOf([adapter, firstMoment, secondMoment]);
}

export class OptimizerState {
  readonly #layout: GradientLayout;
  readonly #crew: Crew;
  readonly #sums: WebAssembly.Memory;
  readonly #digests: Digests;
  #current: StateMemories;
  /** Swaps places with `#current` at a commit, so that a step allocates nothing; null after an export, which keeps its arrays. */
  #spare: StateMemories | null = null;
  /** Whether somebody reads the arrays of `#current` after the next commit. */
  #isLent = false;
  #hasUpdate = false;
  #updateCount = 0;

  /** Its numbers are zero until `begin` or `import`. */
  constructor(layout: GradientLayout, { tell = () => {}, crew }: OptimizerOptions = {}) {
    this.#layout = layout;
    this.#crew = crew ?? new Crew(threadsFor(layout.elementCount, navigator.hardwareConcurrency), tell);
    this.#sums = allocateNumbers(layout);
    this.#digests = new Digests(layout.elementCount);
    this.#current = allocateState(layout);
  }

  /** Begins with a copy of this adapter, and moments of zero; returns the digest. */
  async begin(adapter: Float32Array): Promise<string> {
    this.#current = allocateState(this.#layout);
    this.adapter.set(adapter);
    return await this.#digestOf(this.#current);
  }

  /** The current adapter without a copy, valid until the next commit. */
  get adapter(): Float32Array {
    return this.#viewOf(this.#current).adapter;
  }

  /** The adapter of the update that is not committed yet, without a copy; null without one. */
  get pendingAdapter(): Float32Array | null {
    return this.#hasUpdate ? this.#viewOf(this.#next).adapter : null;
  }

  /** The current state without a copy, valid until the next commit. */
  get view(): TrainingState {
    return { updateCount: this.#updateCount, ...this.#viewOf(this.#current) };
  }

  /** Shared memory for gradient sums: an update by these needs no copy. */
  get sums(): Int32Array {
    return integersIn(this.#sums, this.#layout.elementCount);
  }

  /**
   * Computes the next state. Returns the gradient's norm before clipping, and the next state's digest of the requested kind.
   * @param request its sums are copied unless they are `sums`
   */
  async update(request: UpdateRequest): Promise<{ readonly gradientNorm: number; readonly digest: string }> {
    const { tensors, elementCount } = this.#layout;
    if (request.sums.length !== elementCount) {
      throw new RangeError(`${request.sums.length} gradient sums, the adapter has ${elementCount} elements`);
    }
    this.#hasUpdate = false;
    if (!isSameMemory(this.sums, request.sums)) this.sums.set(request.sums);
    const squares = new Float64Array(new SharedArrayBuffer(8 * tensors.length));
    await this.#crew.do({ ...this.#work(), kind: "squares", squares });
    const gradientNorm = normOf(squares, request);
    const { digestKind = "sha256" } = request;
    const { places, digest } = this.#digests.of(digestKind);
    const constants = constantsOf(request, gradientNorm);
    await this.#crew.do({ ...this.#work(), kind: "update", ...constants, ...places });
    this.#hasUpdate = true;
    return { gradientNorm, digest: digest() };
  }

  async #digestOf(state: StateMemories): Promise<string> {
    const { places, digest } = this.#digests.of("sha256");
    await this.#crew.do({ ...this.#work(state), kind: "digests", ...places });
    return digest();
  }

  #work(next = this.#next): Pick<UpdateWork, "memories" | "starts" | "taken"> {
    const { tensors, elementCount } = this.#layout;
    return {
      memories: {
        ...{ sums: this.#sums, ...this.#current },
        ...{
          nextAdapter: next.adapter,
          nextFirstMoment: next.firstMoment,
          nextSecondMoment: next.secondMoment,
        },
      },
      starts: Float64Array.from([...tensors.map(({ offset }) => offset), elementCount]),
      taken: new Int32Array(new SharedArrayBuffer(4)),
    };
  }

  get #next(): StateMemories {
    return this.#spare ??= allocateState(this.#layout);
  }

  /** @throws LoraFleetError `conflict` without an update */
  commit(): void {
    if (!this.#hasUpdate) {
      throw new LoraFleetError("conflict", "Committing failed: there is no update to commit");
    }
    this.#advance();
    this.#updateCount++;
  }

  rollback(): void {
    this.#hasUpdate = false;
  }

  /**
   * Replaces the current state by a copy of `state`; returns its digest.
   * @param expected its digest if it is right; returned if it is the state's in its former form
   * @throws LoraFleetError `corrupt` for arrays of the wrong length
   */
  async import(state: TrainingState, expected?: string): Promise<string> {
    assertLengths(state, this.#layout);
    const next = this.#viewOf(this.#next);
    for (const name of ARRAYS) next[name].set(state[name]);
    const digest = await this.#digestOf(this.#next);
    this.#advance();
    this.#updateCount = state.updateCount;
    return isFormerDigest(expected, digest, next) ? expected : digest;
  }

  /** What was written beside the current state becomes the current one. */
  #advance(): void {
    const before = this.#isLent ? null : this.#current;
    [this.#current, this.#spare] = [this.#next, before];
    this.#isLent = false;
    this.#hasUpdate = false;
  }

  /** The current state in shared memory, to be read only: it stays as it is, and updates go on in other memory. */
  export(): TrainingState {
    this.#isLent = true;
    return this.view;
  }

  /** Ends the threads. */
  close(): void {
    this.#crew.close();
  }

  #viewOf(state: StateMemories): AdamWState {
    return viewOf(state, this.#layout.elementCount);
  }
}

function assertLengths(state: AdamWState, { elementCount }: GradientLayout): void {
  for (const name of ARRAYS) {
    const { length } = state[name];
    if (length === elementCount) continue;
    throw new LoraFleetError(
      "corrupt",
      `Loading a training state failed: ${name} has ${length} elements, the adapter has ${elementCount}`,
    );
  }
}
