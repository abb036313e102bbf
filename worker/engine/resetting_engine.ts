/**
 * An engine that survives the resets of its GPU: the device is opened again, the model loaded again with the adapter that the host
 * holds, and what the step's sums held is computed again, in the same order of the same bits. Its caller sees a slow call.
 */
import { type Clock, systemClock } from "../../shared/clock.ts";
import type { MicroBatch } from "../../shared/data/packing/micro_batch.ts";
import { LoraFleetError, messageOf } from "../../shared/errors.ts";
import { GpuReset } from "../device/error_scopes.ts";
import { SUBMIT_TARGET_MS } from "../device/submits/submit_pacer.ts";
import type { Engine, EngineSpec } from "./engine.ts";
import type { EngineNote } from "./engine_calls.ts";
import { ResetCount } from "./reset_count.ts";
import { StepJournal } from "./step_journal.ts";

/** An engine that can open its GPU anew. */
export interface ReopenableEngine extends Engine {
  /**
   * Loads the model on a new device with the current adapter; an uncommitted update stays, gradient and sums are lost.
   * @param submitTargetMs the time that a submit aims at
   */
  reopen(submitTargetMs: number): Promise<void>;
}

export interface ResettingEngineOptions {
  readonly clock?: Clock;
  readonly tell?: (note: EngineNote) => void;
}

/** After a reset the driver may need a while before it has a device again, or its memory. */
const COME_BACK_MS = 60_000;
const TRY_AGAIN_MS = 2000;
const COMES_BACK: ReadonlySet<string> = new Set(["no_gpu", "does_not_fit"]);
const SHORTEST_SUBMIT_MS = 12;

export class ResettingEngine implements Engine {
  readonly #inner: ReopenableEngine;
  readonly #clock: Clock;
  readonly #tell: (note: EngineNote) => void;
  readonly #resets: ResetCount;
  readonly #journal = new StepJournal();
  #targetMs = SUBMIT_TARGET_MS;
  #broken: unknown = null;

  constructor(
    inner: ReopenableEngine,
    { clock = systemClock, tell = () => {} }: ResettingEngineOptions = {},
  ) {
    this.#inner = inner;
    this.#clock = clock;
    this.#tell = tell;
    this.#resets = new ResetCount(() => clock.now());
  }

  async load(spec: EngineSpec) {
    this.#journal.forget();
    const load = () => this.#inner.load(spec);
    let isAgain = false;
    return await this.#surviving(() => isAgain ? comeBack(load, this.#clock) : load(), (reset) => {
      this.#count(reset, "loading again");
      isAgain = true;
    });
  }

  async computeGradient(batch: MicroBatch, microBatchNumber: number) {
    this.#journal.setGradient(null); // that is replaced anyway
    const result = await this.#withGpu(() => this.#inner.computeGradient(batch, microBatchNumber));
    this.#journal.setGradient({ batch, number: microBatchNumber });
    return result;
  }

  gradientDigest() {
    return this.#withGpu(() => this.#inner.gradientDigest());
  }

  gradientCheck(...args: Parameters<Engine["gradientCheck"]>) {
    return this.#withGpu(() => this.#inner.gradientCheck(...args));
  }

  async accumulate(exponents: Int8Array): Promise<void> {
    await this.#withGpu(() => this.#inner.accumulate(exponents));
    this.#journal.counted(exponents);
  }

  readSums(...args: Parameters<Engine["readSums"]>) {
    return this.#withGpu(() => this.#inner.readSums(...args));
  }

  async dropSums(): Promise<void> {
    this.#journal.forgetSums();
    await this.#withGpu(() => this.#inner.dropSums());
  }

  async rollback(): Promise<void> {
    this.#journal.forget();
    await this.#withGpu(() => this.#inner.rollback());
  }

  update(...args: Parameters<Engine["update"]>) {
    return this.#inner.update(...args);
  }

  async commit(): Promise<void> {
    await this.#inner.commit();
    this.#journal.forget();
  }

  evaluate(...args: Parameters<Engine["evaluate"]>) {
    return this.#withGpu(() => this.#inner.evaluate(...args));
  }

  exportState() {
    return this.#inner.exportState();
  }

  copyAdapter() {
    return this.#inner.copyAdapter();
  }

  async importState(...args: Parameters<Engine["importState"]>) {
    this.#journal.forget();
    return await this.#withGpu(() => this.#inner.importState(...args));
  }

  writeAdapter(...args: Parameters<Engine["writeAdapter"]>) {
    return this.#inner.writeAdapter(...args);
  }

  writeState(...args: Parameters<Engine["writeState"]>) {
    return this.#inner.writeState(...args);
  }

  async close(): Promise<void> {
    this.#journal.forget();
    await this.#inner.close();
  }

  #withGpu<T>(call: () => Promise<T>): Promise<T> {
    return this.#surviving(call, (reset) => this.#reopen(reset));
  }

  async #surviving<T>(call: () => Promise<T>, repair: (reset: GpuReset) => void | Promise<void>): Promise<T> {
    if (this.#broken !== null) throw this.#broken;
    for (;;) {
      try {
        return await call();
      } catch (thrown) {
        if (!(thrown instanceof GpuReset)) throw thrown;
        await repair(thrown);
      }
    }
  }

  async #reopen(reset: GpuReset): Promise<void> {
    const startedAt = this.#clock.now();
    this.#targetMs = Math.max(SHORTEST_SUBMIT_MS, this.#targetMs / 2);
    const { length } = this.#journal;
    const again = length === 0 ? "" : `, and computing ${length} micro-batches of this step again`;
    this.#count(reset, `opening it again, with submits of ${Math.round(this.#targetMs)} ms${again}`);
    try {
      await comeBack(() => this.#inner.reopen(this.#targetMs), this.#clock);
      await this.#journal.replay(this.#inner);
    } catch (thrown) {
      if (!(thrown instanceof GpuReset)) throw thrown;
      return await this.#reopen(thrown);
    }
    const seconds = (this.#clock.now() - startedAt) / 1000;
    this.#tell({ note: `the GPU works again after ${seconds.toFixed(1)} s: nothing is lost` });
  }

  #count(reset: GpuReset, what: string): void {
    try {
      this.#resets.add(reset.message);
    } catch (thrown) {
      this.#broken = thrown;
      this.#tell({ note: messageOf(thrown), isReset: true, isBroken: true });
      throw thrown;
    }
    const reason = reset.message;
    this.#tell({ note: `${reason}: the GPU was reset; ${what}`, isReset: true, reason });
  }
}

/** Opens, and again for a while if the driver has no GPU or no memory yet. */
async function comeBack<T>(open: () => Promise<T>, clock: Clock): Promise<T> {
  const until = clock.now() + COME_BACK_MS;
  for (;;) {
    try {
      return await open();
    } catch (thrown) {
      const mayCome = thrown instanceof LoraFleetError && COMES_BACK.has(thrown.code);
      if (!mayCome || clock.now() + TRY_AGAIN_MS > until) throw thrown;
      await clock.sleep(TRY_AGAIN_MS);
    }
  }
}
