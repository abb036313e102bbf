/**
 * Evaluation on a real fleet: coordinator, broker and workers as processes, on whatever GPU there is. The broker lets workers report,
 * the losses do not depend on who computed them, and the adapter has the bits of a job without evaluation.
 */
import { assert, assertEquals } from "@std/assert";
import { dirname, join } from "@std/path";
import { z } from "zod";
import { Children } from "../../deploy/machine/children.ts";
import { repositoryRoot, startFleet } from "../../deploy/machine/fleet.ts";
import { systemClock } from "../../shared/clock.ts";

const assets = join(repositoryRoot, "deploy/demo/assets");
const VALIDATION_ROWS = 40;

type Api = Awaited<ReturnType<typeof startFleet>>["api"];

const eventsSchema = z.object({
  data: z.array(z.object({ data: z.record(z.string(), z.unknown()).nullable() })),
});
const filesSchema = z.object({ id: z.string() });

async function inFleet<T>(workerCount: number, work: (api: Api) => Promise<T>): Promise<T> {
  const folder = await Deno.makeTempDir({ prefix: "lorafleet-evaluation-test-" });
  const logFolder = join(folder, "logs");
  await Deno.mkdir(logFolder);
  const children = new Children(logFolder, systemClock);
  const stopper = new AbortController();
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
    const result = await Promise.race([work(fleet.api), fleet.broken]);
    await fleet.stop();
    return result;
  } finally {
    stopper.abort();
    await children.close();
    await Deno.remove(folder, { recursive: true });
  }
}

/** @param evaluates whether a few of the rows are evaluated after every second step */
async function train(api: Api, evaluates: boolean) {
  const file = await api.uploadDataset(join(assets, "train.jsonl"), "train.jsonl");
  const job = await api.createJob({
    model: join(assets, "base"),
    training_file: file.id,
    ...evaluates ? { validation_file: (await uploadRows(api)).id } : {},
    lora: { r: 4, lora_alpha: 8, lora_dropout: 0.1, target_modules: "all-linear" },
    training: {
      ...{ max_steps: 4, gradient_accumulation_steps: 4, learning_rate: 1e-3, warmup_ratio: 0 },
      save_strategy: "no",
      ...evaluates
        ? { eval_steps: 2, eval_on_start: true, load_best_model_at_end: true, save_total_limit: 2 }
        : {},
    },
    dataset: { max_seq_length: 64 },
  });
  for await (const _ of api.events(job.id)); // until it is over
  const { status, error, result_files } = await api.job(job.id);
  assertEquals([status, error], ["succeeded", null]);
  const results = await Promise.all(result_files.map((id) => api.describeFile(id)));
  const { data } = eventsSchema.parse(await api.json(`/v1/fine_tuning/jobs/${job.id}/events?limit=1000`));
  const evaluations = data.reverse().flatMap(({ data }) =>
    data?.["full_valid_loss"] === undefined ? [] : [data]
  );
  return {
    adapter: results.find(({ filename }) => filename === "adapter_model.safetensors")!.sha256,
    evaluations: evaluations.map((found) => ({
      step: found["step"],
      loss: found["full_valid_loss"],
      accuracy: found["full_valid_mean_token_accuracy"],
    })),
  };
}

async function uploadRows(api: Api) {
  const lines = (await Deno.readTextFile(join(assets, "train.jsonl"))).split("\n").slice(0, VALIDATION_ROWS);
  const form = new FormData();
  form.set("purpose", "fine-tune");
  form.set("file", new File([lines.join("\n")], "valid.jsonl"));
  return filesSchema.parse(await api.json("/v1/files", { method: "POST", body: form }));
}

Deno.test("a real fleet evaluates: one worker or two give the same losses, and the adapter of a job without", async () => {
  const [plain, alone] = await inFleet(
    1,
    async (api) => [await train(api, false), await train(api, true)] as const,
  );
  const together = await inFleet(2, (api) => train(api, true));
  assertEquals(plain.evaluations, []);
  assertEquals(alone.evaluations.map(({ step }) => step), [0, 2, 4]);
  assertEquals(together.evaluations, alone.evaluations);
  const losses = alone.evaluations.map(({ loss }) => loss as number);
  // The last step is the best, so the result is the adapter that the plain job has, too.
  assert(losses[2]! < losses[1]! && losses[1]! < losses[0]!, `${losses}`);
  assertEquals([alone.adapter, together.adapter], [plain.adapter, plain.adapter]);
});
