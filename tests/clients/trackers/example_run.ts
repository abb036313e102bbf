/** One run for all trackers and their own readers: two batches, an evaluation, numbers that are not finite, and its end. */
import type { Tracking } from "../../../coordinator/job_request/tracking.ts";
import type { Batch, RunFacts, RunState, TrackedRun } from "../../../coordinator/trackers/run/tracker.ts";

export const TRACKING: Tracking = {
  reportTo: ["tensorboard", "mlflow", "wandb", "jsonl"],
  runName: "Größe 7: a run",
  loggingDir: "logs",
  loggingStrategy: "steps",
  loggingFirstStep: false,
  wandb: { project: "tutorial", name: null, entity: null, tags: ["qlora"] },
};

export const FACTS: RunFacts = {
  jobId: "ftjob-example",
  name: "Größe 7: a run",
  startedAt: 1_700_000_000_000,
  config: {
    model: "org/tiny",
    seed: 42,
    "lora.target_modules": ["q_proj", "v_proj"],
    "training.learning_rate": 2e-4,
    "dataset.packing": true,
    "fleet.local_steps": null,
  },
  tracking: TRACKING,
};

const at = (second: number) => FACTS.startedAt + 1000 * second;

export const BATCHES: readonly Batch[] = [
  {
    points: [
      {
        step: 1,
        at: at(1),
        values: { loss: 2.5, learning_rate: 2e-4, grad_norm: 0.75, epoch: 0.5, workers: 2 },
      },
      {
        step: 2,
        at: at(2),
        values: { loss: 1.25, learning_rate: 1e-4, grad_norm: 0.5, epoch: 1, workers: 3 },
      },
    ],
    end: null,
  },
  {
    points: [
      { step: 2, at: at(3), values: { eval_loss: 1.5, eval_mean_token_accuracy: 0.625, epoch: 1 } },
      { step: 3, at: at(4), values: { loss: NaN, learning_rate: 5e-5, grad_norm: Infinity, epoch: 1.5 } },
      {
        step: 4,
        at: at(5),
        values: { loss: 0.5, learning_rate: 0, grad_norm: -Infinity, num_tokens: 123_456 },
      },
    ],
    end: null,
  },
  {
    points: [],
    end: {
      status: "succeeded",
      at: at(6),
      step: 4,
      error: null,
      summary: { train_loss: 1.0625, train_runtime: 6 },
    },
  },
];

/** Sends all batches; each one twice, as if a process had ended before it noted the first time. */
export async function deliverExample(run: TrackedRun): Promise<RunState> {
  let state: RunState = null;
  const { signal } = new AbortController();
  for (const batch of BATCHES) {
    await run.send(batch, state, signal);
    state = await run.send(batch, state, signal);
  }
  return state;
}
