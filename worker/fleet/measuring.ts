/**
 * The measurement that the coordinator asks this worker for, beside the jobs: runs while it is asked for and no job wants the
 * GPU. Level-triggered, as everything that the fleet announces: a message that is lost is repeated.
 */
import type { Bus } from "../../shared/bus/bus.ts";
import { LoraFleetError, messageOf } from "../../shared/errors.ts";
import { decodeMessage } from "../../shared/protocol/messages_codec.ts";
import type { MemberRef } from "../../shared/protocol/messages_coordinator.ts";
import { type Measurement, measurementSchema } from "../../shared/protocol/messages_measure.ts";
import { MEASUREMENT_SUBJECT } from "../../shared/protocol/subjects.ts";
import type { Runtime } from "../async/runtime.ts";

export type Measure = (measurement: Measurement, signal: AbortSignal) => Promise<void>;

interface MeasuringOptions extends Runtime {
  /** Hands the result in, too; left out: this worker measures nothing. */
  readonly measure?: Measure;
  /** Whether no job needs the GPU. */
  readonly isIdle: () => boolean;
}

interface Running {
  readonly measurement: Measurement;
  readonly controller: AbortController;
}

const NOT_ASKED = new LoraFleetError("aborted", "the measurement is not asked for any more");

export class Measuring {
  readonly #options: MeasuringOptions;
  #self: MemberRef | null = null;
  #wanted: Measurement | null = null;
  #heardAt = 0;
  #running: Running | null = null;
  /** The newest that has ended: it is announced a while longer. */
  #ended: Measurement | null = null;

  constructor(options: MeasuringOptions) {
    this.#options = options;
  }

  get isRunning(): boolean {
    return this.#running !== null;
  }

  /** Hears what is announced until the bus is closed. */
  listen(bus: Bus): void {
    const { clock, log } = this.#options;
    bus.subscribe(MEASUREMENT_SUBJECT, ({ data }) => {
      try {
        const heard = decodeMessage(measurementSchema, data, "a measurement");
        const self = this.#self;
        const isMine = heard.worker === self?.worker && heard.incarnation === self.incarnation;
        this.#wanted = isMine ? heard : null;
        this.#heardAt = clock.now();
        this.settle();
      } catch (thrown) {
        log("warn", messageOf(thrown));
      }
    });
  }

  /** Measures as this member; null: stop at once. */
  join(self: MemberRef | null): void {
    this.#self = self;
    this.#wanted = null;
    this.settle();
  }

  /** Starts or ends what has to be. Call it whenever a job may have come or gone, and now and then. */
  settle(): void {
    const { clock, limits, isIdle, measure, log } = this.#options;
    if (clock.now() - this.#heardAt > limits.coordinatorSilentMs) this.#wanted = null;
    const [wanted, running] = [this.#wanted, this.#running];
    if (running !== null && (!isSame(wanted, running.measurement) || !isIdle())) {
      running.controller.abort(NOT_ASKED);
      return;
    }
    const isNew = wanted !== null && running === null && !isSame(wanted, this.#ended);
    if (!isNew || measure === undefined || !isIdle()) return;
    const controller = new AbortController();
    this.#running = { measurement: wanted, controller };
    measure(wanted, controller.signal).then(() => this.#ended = wanted, (thrown) => {
      if (controller.signal.aborted) return;
      this.#ended = wanted;
      log("error", `a measurement failed: ${messageOf(thrown)}`);
    }).finally(() => {
      this.#running = null;
      this.settle();
    });
  }
}

function isSame(a: Measurement | null, b: Measurement | null): boolean {
  return a?.exportId === b?.exportId && a?.attempt === b?.attempt && a?.coordinatorId === b?.coordinatorId;
}
