/** The gradient codecs of jobs, and their state between rounds. */
import { EXACT_GRAIN, type Grain } from "../plan/chunk_plan.ts";
import { ErrorFeedback, type SumsUnit } from "./error_feedback.ts";
import { createExactCodec } from "./exact_codec.ts";
import { INT8_GRAIN } from "./int8_blocks.ts";
import { addCarried, createInt8Codec } from "./int8_codec.ts";
import type { OwnerRange } from "../plan/owner_ranges.ts";
import type { RoundCodec } from "./round_codec.ts";
import { createScratch } from "./scratch.ts";

/**
 * `exact` sends sums as they are. `int8` takes a quarter of the bytes and carries rounding errors over to the next step, so that the
 * result depends on the distribution of the work (decision 0008).
 */
export type GradientCodec = "exact" | "int8";

/** The sums of a round and their units. */
interface CodedSums {
  readonly sums: Int32Array;
  readonly units?: readonly SumsUnit[];
}

export interface Codec {
  readonly grain: Grain;
  /** Begins a round and drops rounding errors of an uncommitted one. */
  begin(coded: CodedSums, ownRange: OwnerRange): RoundCodec;
  /** A round of this worker alone; the event loop turns between pieces of the result. */
  alone(coded: CodedSums, yieldToEventLoop: () => Promise<void>): Promise<void>;
  /** The last round's step is committed: its rounding errors are carried over. */
  commit(): void;
  forget(): void;
}

/** Elements of a piece of a round without others. */
const PIECE_ELEMENTS = 2 ** 18;
const CONSTANT_UNITS: readonly SumsUnit[] = [{ offset: 0, exponent: 0 }];

export function createCodec(name: GradientCodec): Codec {
  return name === "exact" ? exact() : int8();
}

function exact(): Codec {
  const scratch = createScratch();
  return {
    grain: EXACT_GRAIN,
    begin: ({ sums }, ownRange) => createExactCodec(sums, ownRange, scratch),
    alone: () => Promise.resolve(),
    commit: () => {},
    forget: () => {},
  };
}

function int8(): Codec {
  const scratch = createScratch();
  const feedback = new ErrorFeedback();
  return {
    grain: INT8_GRAIN,
    begin: ({ sums, units = CONSTANT_UNITS }, ownRange) => {
      feedback.begin(sums.length, units);
      return createInt8Codec(sums, ownRange, feedback, scratch);
    },
    alone: async ({ sums, units = CONSTANT_UNITS }, yieldToEventLoop) => {
      if (!feedback.isCarrying) return;
      feedback.begin(sums.length, units);
      for (let offset = 0; offset < sums.length; offset += PIECE_ELEMENTS) {
        const count = Math.min(PIECE_ELEMENTS, sums.length - offset);
        addCarried(sums, { offset, count }, feedback);
        await yieldToEventLoop();
      }
    },
    commit: () => feedback.commit(),
    forget: () => feedback.forget(),
  };
}
