/** The shapes of the learning rate: transformers' formulas (transformers/optimization.py), with the arguments each of them takes. */
import type { TrainingSpec } from "../../../shared/job/job_spec_schema.ts";

type ScheduleArguments = NonNullable<TrainingSpec["lr_scheduler_kwargs"]>;

interface Place {
  /** Updates before this one. */
  readonly done: number;
  readonly warmup: number;
  readonly total: number;
  /** `training.learning_rate`, of which the factor is a share. */
  readonly rate: number;
}

interface ScheduleKind {
  /** The fields of `lr_scheduler_kwargs` that it takes. */
  readonly takes: readonly (keyof ScheduleArguments)[];
  /** Of these it needs exactly one. */
  readonly needsOneOf?: readonly (keyof ScheduleArguments)[];
  factor(place: Place, args: ScheduleArguments): number;
}

const LOWEST = ["min_lr", "min_lr_rate"] as const;

export const SCHEDULE_KINDS: Readonly<Record<TrainingSpec["lr_scheduler_type"], ScheduleKind>> = {
  constant: { takes: [], factor: () => 1 },
  constant_with_warmup: { takes: [], factor: afterWarmup(() => 1) },
  linear: {
    takes: [],
    factor: afterWarmup((place) => Math.max(0, (place.total - place.done) / remainingOf(place))),
  },
  cosine: {
    takes: ["num_cycles"],
    factor: afterWarmup((place, { num_cycles: cycles = 0.5 }) =>
      Math.max(0, wave(progressOf(place), cycles))
    ),
  },
  cosine_with_restarts: {
    takes: ["num_cycles"],
    factor: afterWarmup((place, { num_cycles: cycles = 1 }) => {
      const progress = progressOf(place);
      return progress >= 1 ? 0 : Math.max(0, 0.5 * (1 + Math.cos(Math.PI * ((cycles * progress) % 1))));
    }),
  },
  cosine_with_min_lr: {
    takes: ["num_cycles", ...LOWEST],
    needsOneOf: LOWEST,
    factor: afterWarmup((place, args) =>
      Math.max(0, above(wave(progressOf(place), args.num_cycles ?? 0.5), lowestOf(place, args)))
    ),
  },
  cosine_warmup_with_min_lr: {
    takes: ["num_cycles", ...LOWEST, "warmup_lr_rate"],
    needsOneOf: LOWEST,
    factor(place, args) {
      const { done, warmup, total } = place;
      const { warmup_lr_rate: first, num_cycles: cycles = 0.5 } = args;
      if (done < warmup) {
        if (first === undefined) return (done + 1) / Math.max(1, warmup);
        return first + (1 - first) * done / Math.max(1, warmup - 1);
      }
      const progress = (done - warmup + 1) / Math.max(1, total - warmup);
      return Math.max(0, above(wave(progress, cycles), lowestOf(place, args)));
    },
  },
  polynomial: {
    takes: ["lr_end", "power"],
    factor: afterWarmup(({ done, warmup, total, rate }, { lr_end: end = POLYNOMIAL_END, power = 1 }) => {
      const remaining = 1 - (done - warmup) / (total - warmup);
      return ((rate - end) * remaining ** power + end) / rate;
    }),
  },
  inverse_sqrt: {
    takes: ["timescale"],
    factor: afterWarmup(({ done, warmup }, { timescale }) => {
      const scale = timescale ?? (warmup || 10_000);
      return 1 / Math.sqrt((done + (scale - warmup)) / scale);
    }),
  },
  warmup_stable_decay: {
    takes: ["num_decay_steps", "num_stable_steps", "warmup_type", "decay_type", "min_lr_ratio", "num_cycles"],
    needsOneOf: ["num_decay_steps"],
    factor: warmupStableDecay,
  },
};

/** The end of a polynomial schedule unless `lr_end` says otherwise. */
export const POLYNOMIAL_END = 1e-7;

function afterWarmup(factor: ScheduleKind["factor"]): ScheduleKind["factor"] {
  return (place, args) =>
    place.done < place.warmup ? place.done / Math.max(1, place.warmup) : factor(place, args);
}

function remainingOf({ warmup, total }: Place): number {
  return Math.max(1, total - warmup);
}

function progressOf(place: Place): number {
  return (place.done - place.warmup) / remainingOf(place);
}

/** From 1 down to 0 in half a cycle. */
function wave(progress: number, cycles: number): number {
  return 0.5 * (1 + Math.cos(Math.PI * cycles * 2 * progress));
}

function above(factor: number, lowest: number): number {
  return factor * (1 - lowest) + lowest;
}

function lowestOf({ rate }: Place, { min_lr: lowest, min_lr_rate: share = 0 }: ScheduleArguments): number {
  return lowest === undefined ? share : lowest / rate;
}

function warmupStableDecay({ done, warmup, total }: Place, args: ScheduleArguments): number {
  const { num_decay_steps: decay = 0, num_cycles: cycles = 0.5, min_lr_ratio: lowest = 0 } = args;
  const { warmup_type: rise = "linear", decay_type: fall = "cosine" } = args;
  const stable = args.num_stable_steps ?? total - warmup - decay;
  if (done < warmup) return Math.max(0, above(RISES[rise](done / Math.max(1, warmup)), lowest));
  if (done < warmup + stable) return 1;
  if (done >= warmup + stable + decay) return lowest;
  return Math.max(0, above(FALLS[fall]((done - warmup - stable) / Math.max(1, decay), cycles), lowest));
}

const RISES = {
  linear: (progress: number) => progress,
  cosine: (progress: number) => 0.5 * (1 - Math.cos(Math.PI * progress)),
  "1-sqrt": (progress: number) => 1 - Math.sqrt(1 - progress),
};

const FALLS = {
  linear: (progress: number) => 1 - progress,
  cosine: wave,
  "1-sqrt": (progress: number) => 1 - Math.sqrt(progress),
};
