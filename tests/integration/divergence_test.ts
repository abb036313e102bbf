/**
 * `training.on_divergence: "halve_learning_rate"` with a real coordinator and its broker: gradients become NaN, the job goes on from
 * its newest checkpoint with half the learning rate, and a coordinator that is killed afterwards keeps to it.
 */
import { assertEquals, assertMatch } from "@std/assert";
import {
  freePort,
  jobOf,
  messagesOf,
  startCoordinatorChild,
  until,
  withFolder,
} from "./coordinator_child.ts";
import { toyFile, writeToyModel } from "./toy_model.ts";
import { startToyWorker } from "./toy_worker.ts";

const MICRO_BATCHES = 4;
/** NaN from the step after this one's checkpoint on. */
const LAST_GOOD_STEP = 12;
const RATE = 0.1;
const TRAINING = {
  gradient_accumulation_steps: MICRO_BATCHES,
  learning_rate: RATE,
  lr_scheduler_type: "constant",
  warmup_ratio: 0,
  max_steps: 18,
  save_strategy: "steps",
  save_steps: 6,
};

interface Step {
  readonly step: number;
  readonly train_loss: number;
  readonly learning_rate: number;
}

async function submit(api: string, training: object): Promise<string> {
  const form = new FormData();
  form.append("purpose", "fine-tune");
  form.append("file", await toyFile(0, 64));
  const { id } = await (await fetch(`${api}/files`, { method: "POST", body: form })).json();
  const body = {
    model: "toy",
    training_file: id,
    training,
    lora: { r: 4, lora_alpha: 8, target_modules: ["q_proj"] },
  };
  const response = await fetch(`${api}/fine_tuning/jobs`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ ...body, dataset: { max_seq_length: 64 } }),
  });
  const job = await response.json();
  assertEquals(response.status, 200, JSON.stringify(job));
  return job.id;
}

/** The newest metrics of each step. */
async function stepsOf(api: string, id: string): Promise<Step[]> {
  const page = await (await fetch(`${api}/fine_tuning/jobs/${id}/events?limit=1000`)).json();
  const events: { type: string; data: Step }[] = page.data.reverse();
  const steps = new Map(events.filter(({ type }) => type === "metrics").map(({ data }) => [data.step, data]));
  return [...steps.values()].toSorted((a, b) => a.step - b.step);
}

Deno.test("NaN: once from the newest checkpoint with half the learning rate, else the end with the reason", () =>
  withFolder(async (folder) => {
    await writeToyModel(`${folder}/models/toy`);
    const args = ["--port", String(freePort()), "--model-roots", `${folder}/models`];
    await using children = new AsyncDisposableStack();
    const first = children.use(startCoordinatorChild(`${folder}/data`, args));
    const joinUrl = await first.joinUrl();
    let isIll = false;
    let isSpoilt = false;
    let heals = true;
    const worker = startToyWorker({
      ...{ name: "w", joinUrl, cacheFolder: `${folder}/cache`, gradientMs: 20 },
      spoil(gradient, number) {
        if (!isIll || number < LAST_GOOD_STEP * MICRO_BATCHES) return;
        isSpoilt = true;
        gradient.fill(NaN);
      },
      onCall(call) {
        // A worker loads when a training starts again.
        if (heals && isSpoilt && (call === "load" || call === "importState")) isIll = false;
      },
    });
    children.defer(() => worker.stop());
    const api = first.api();
    const isOver = async (id: string) =>
      ["succeeded", "failed"].includes((await jobOf(api, id).catch(() => null))?.status ?? "");

    const healthy = await submit(api, TRAINING);
    await until("the healthy job", () => isOver(healthy));
    isIll = true;
    const halved = await submit(api, { ...TRAINING, on_divergence: "halve_learning_rate" });
    const note = "The job goes on from step 12 with half the learning rate.";
    await until(
      "the rollback",
      async () => (await messagesOf(api, halved)).some((text) => text.includes(note)),
    );
    await until("a step after it", async () => (await jobOf(api, halved)).step > LAST_GOOD_STEP);
    first.kill("SIGKILL");
    await first.ended;
    const second = children.use(startCoordinatorChild(`${folder}/data`, args));
    await second.joinUrl();
    await until("the halved job", () => isOver(halved));
    assertEquals(
      (await jobOf(api, halved)).status,
      "succeeded",
      JSON.stringify((await jobOf(api, halved)).error),
    );
    const [steps, others] = [await stepsOf(api, halved), await stepsOf(api, healthy)];
    assertEquals(steps.map(({ learning_rate }) => learning_rate), [
      ...Array(12).fill(RATE),
      ...Array(6).fill(RATE / 2),
    ]);
    // The loss of a step is that before its update.
    const losses = (all: readonly Step[]) =>
      all.slice(0, LAST_GOOD_STEP + 1).map(({ train_loss }) => train_loss);
    assertEquals(losses(steps), losses(others));
    assertEquals(steps[14]!.train_loss === others[14]!.train_loss, false);
    const page = await (await fetch(`${api}/fine_tuning/jobs/${halved}/checkpoints`)).json();
    assertEquals(page.data.map(({ step_number }: { step_number: number }) => step_number), [18, 12, 6]);

    heals = false;
    isIll = true;
    const stopped = await submit(api, TRAINING);
    await until("the stopped job", () => isOver(stopped));
    const { status, error } = await jobOf(api, stopped);
    assertEquals([status, (error as { param: string }).param], ["failed", "training.learning_rate"]);
    assertMatch(JSON.stringify(error), /of step 13 .* that is not finite/);
  }));
