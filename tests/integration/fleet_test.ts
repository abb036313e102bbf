/**
 * A real fleet: coordinator, broker and workers as processes, training the demo's model on whatever GPU there is. Whoever does the
 * work, the losses and the adapter are the same.
 */
import { assert, assertEquals, assertLess } from "@std/assert";
import { dirname, join } from "@std/path";
import { z } from "zod";
import { Children } from "../../deploy/machine/children.ts";
import { repositoryRoot, startFleet } from "../../deploy/machine/fleet.ts";
import { systemClock } from "../../shared/clock.ts";
import { measureEventLoopGap } from "../../worker/fleet/event_loop_gap.ts";

const assets = join(repositoryRoot, "deploy/demo/assets");
const STEPS = 4;
const RANK = 4;
/** A longer gap, and a worker that is only busy looks dead. */
const MOST_GAP_MS = 50;

const workersSchema = z.object({
  data: z.array(
    z.object({ state: z.string(), max_heartbeat_gap_ms: z.number(), micro_batches_done: z.number() }),
  ),
});

interface Trained {
  readonly losses: readonly number[];
  readonly gradientNorms: readonly number[];
  readonly gradientBytes: number;
  readonly adapterSha256: string;
  readonly microBatches: readonly number[];
  readonly maxGapMs: number;
}

interface JobChange {
  readonly maxSteps?: number;
  /** The job's group `fleet`. */
  readonly fleet?: object;
}

/** `machineGapMs`: how long this process, which has nothing to do, was kept waiting by the machine meanwhile. */
async function train(
  workerCount: number,
  change: JobChange = {},
): Promise<Trained & { readonly machineGapMs: number }> {
  const folder = await Deno.makeTempDir({ prefix: "lorafleet-fleet-test-" });
  const logFolder = join(folder, "logs");
  await Deno.mkdir(logFolder);
  const children = new Children(logFolder, systemClock);
  const stopper = new AbortController();
  const idle = measureEventLoopGap(systemClock, 10, stopper.signal);
  try {
    const fleet = await startFleet({
      ...{ children, workerCount, signal: stopper.signal, clock: systemClock },
      env: Deno.env.toObject(),
      dataFolder: join(folder, "coordinator"),
      modelRoot: dirname(join(assets, "base")),
      ignoreGpu: true,
      onWorkerLost: (message) => {
        throw new Error(message);
      },
    });
    const trained = await Promise.race([runJob(fleet.api, change), fleet.broken]);
    await fleet.stop();
    return { ...trained, machineGapMs: idle.maxGapMs };
  } finally {
    stopper.abort();
    await children.close();
    await Deno.remove(folder, { recursive: true });
  }
}

async function runJob(
  api: Awaited<ReturnType<typeof startFleet>>["api"],
  { maxSteps = STEPS, fleet = {} }: JobChange,
): Promise<Trained> {
  const file = await api.uploadDataset(join(assets, "train.jsonl"), "train.jsonl");
  const { id } = await api.createJob({
    model: join(assets, "base"),
    training_file: file.id,
    lora: { r: RANK, lora_alpha: 8, lora_dropout: 0.1, target_modules: "all-linear" },
    training: {
      max_steps: maxSteps,
      gradient_accumulation_steps: 6,
      learning_rate: 1e-3,
      warmup_ratio: 0,
      save_strategy: "no",
    },
    dataset: { max_seq_length: 64 },
    fleet,
  });
  const losses: number[] = [];
  const gradientNorms: number[] = [];
  let gradientBytes = 0;
  for await (const event of api.events(id)) {
    if (event.kind !== "metrics") continue;
    losses.push(event.metrics.train_loss);
    gradientNorms.push(event.metrics.grad_norm);
    gradientBytes = event.metrics.gradient_bytes_sent;
  }
  const job = await api.job(id);
  assertEquals([job.status, job.error], ["succeeded", null]);
  const files = await Promise.all(job.result_files.map((file) => api.describeFile(file)));
  const workers = workersSchema.parse(await api.json("/v1/workers")).data;
  return {
    losses,
    gradientNorms,
    gradientBytes,
    adapterSha256: files.find(({ filename }) => filename.endsWith("adapter_model.safetensors"))!.sha256,
    microBatches: workers.map((worker) => worker.micro_batches_done),
    maxGapMs: Math.max(...workers.map((worker) => worker.max_heartbeat_gap_ms)),
  };
}

/** LoRA parameters of the demo's base model: r · (in + out) of all linear layers. */
function parameterCount(): number {
  const { hidden_size: hidden, intermediate_size: inner, num_hidden_layers: layers, head_dim: headDim } =
    config;
  const [query, key] = [config.num_attention_heads * headDim, config.num_key_value_heads * headDim];
  const sides = 2 * (hidden + query) + 2 * (hidden + key) + 3 * (hidden + inner);
  return RANK * layers * sides;
}
const config = JSON.parse(await Deno.readTextFile(join(assets, "base/config.json")));

Deno.test("one, two or three workers: the same losses, the same adapter, and only gradients on the wire", async (t) => {
  const alone = await train(1);
  assertEquals(alone.losses.length, STEPS);
  assert(alone.losses.at(-1)! < alone.losses[0]!, `the loss does not fall: ${alone.losses}`);
  assertEquals(alone.gradientBytes, 0);
  await t.step("a worker's heartbeat is never held up by its GPU", () => {
    assertLess(alone.maxGapMs, MOST_GAP_MS + alone.machineGapMs);
  });
  for (const workerCount of [2, 3]) {
    await t.step(`${workerCount} workers`, async () => {
      const { losses, gradientNorms, adapterSha256, gradientBytes, microBatches } = await train(workerCount);
      assertEquals(losses, alone.losses);
      assertEquals(gradientNorms, alone.gradientNorms);
      assertEquals(adapterSha256, alone.adapterSha256);
      // Everybody has pulled some: the work is not dealt out beforehand, but nobody starves either.
      assert(microBatches.every((count) => count > 0), `micro-batches: ${microBatches}`);
      // What the all-reduce's formula predicts for gradients of 4 bytes, tensors padded to whole blocks.
      const predicted = STEPS * parameterCount() * 4 * workerCount;
      assertLess(
        Math.abs(gradientBytes / predicted - 1),
        0.05,
        `${gradientBytes} bytes, ${predicted} predicted`,
      );
    });
  }
});

Deno.test("local steps, one worker or two: the same adapter, and gradients once in an outer step", async () => {
  const job: JobChange = { maxSteps: 8, fleet: { local_steps: { inner_steps: 2, replicas: 2 } } };
  const [alone, two] = [await train(1, job), await train(2, job)];
  assertEquals([alone.losses.length, alone.gradientBytes], [2, 0]);
  assertEquals([two.losses, two.gradientNorms], [alone.losses, alone.gradientNorms]);
  assertEquals(two.adapterSha256, alone.adapterSha256);
  const predicted = 2 * parameterCount() * 4 * 2;
  const { gradientBytes } = two;
  assertLess(Math.abs(gradientBytes / predicted - 1), 0.05, `${gradientBytes} bytes, ${predicted} predicted`);
});
