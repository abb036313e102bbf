/** The codecs that a job can choose, and what one of them keeps from round to round. */
import { EXACT_GRAIN, type Grain } from "../plan/chunk_plan.ts";
import { createErrorFeedback, type SumsUnit } from "./error_feedback.ts";
import { createExactCodec } from "./exact_codec.ts";
import { INT8_GRAIN } from "./int8_blocks.ts";
import { addCarried, createInt8Codec } from "./int8_codec.ts";
import type { OwnerRange } from "../plan/owner_ranges.ts";
import type { RoundCodec } from "./round_codec.ts";
import { createScratch } from "./scratch.ts";

/**
 * How gradient sums travel. `exact`: as they are. `int8`: a quarter of the bytes; what that loses is carried over to the
 * next step, and the result depends on who did the work (decision 0008).
 */
export type GradientCodec = "exact" | "int8";

/** The sums of a round, and what a 1 of them stands for. */
interface CodedSums {
  readonly sums: Int32Array;
  readonly units?: readonly SumsUnit[];
}

export interface Codec {
  readonly grain: Grain;
  /** For a round that begins; what an earlier one lost without a commit is forgotten. */
  begin(coded: CodedSums, ownRange: OwnerRange): RoundCodec;
  /** A round without others: the result may come in pieces, between which the event loop turns. */
  alone(coded: CodedSums, yieldToEventLoop: () => Promise<void>): Promise<void>;
  /** The last round's step is committed: what was lost in it is carried over. */
  commit(): void;
  forget(): void;
}

/** Elements of a piece of a round without others. */
const PIECE_ELEMENTS = 2 ** 18;
const ALWAYS_THE_SAME: readonly SumsUnit[] = [{ offset: 0, exponent: 0 }];

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
  const feedback = createErrorFeedback();
  return {
    grain: INT8_GRAIN,
    begin: ({ sums, units = ALWAYS_THE_SAME }, ownRange) => {
      feedback.begin(sums.length, units);
      return createInt8Codec(sums, ownRange, feedback, scratch);
    },
    alone: async ({ sums, units = ALWAYS_THE_SAME }, yieldToEventLoop) => {
      if (!feedback.isCarrying) return;
      feedback.begin(sums.length, units);
      for (let offset = 0; offset < sums.length; offset += PIECE_ELEMENTS) {
        const count = Math.min(PIECE_ELEMENTS, sums.length - offset);
        addCarried(sums, { offset, count }, feedback);
        await yieldToEventLoop();
      }
    },
    commit: feedback.commit,
    forget: feedback.forget,
  };
}
