/**
 * Writes what a fleet of this release leaves in its data folder, as a backup, so that later releases can be tested with it: run it
 * on a release's commit.
 *
 *     deno run -A tests/layouts/make_folder.ts tests/layouts/folders/0.1.0
 *
 * <path>.tar.gz is the backup of a fleet in the middle of a job, with jobs before and after it; <path>.json says what has to be in
 * it, as this release's API shows it, and the adapter with which the interrupted job has ended. All keys in it were made for it.
 */
import { systemClock } from "../../shared/clock.ts";
import { exitWithHelp } from "../documents/head_help.ts";
import {
  freePort,
  jobOf,
  startCoordinatorChild,
  submitJob,
  until,
} from "../integration/coordinator_child.ts";
import { writeToyModel } from "../integration/toy_model.ts";
import { startToyWorker } from "../integration/toy_worker.ts";

const TRAINING = { gradient_accumulation_steps: 2, learning_rate: 1e-2, logging_steps: 1 };
const MODEL = { model: "toy", lora: { r: 4, lora_alpha: 8, target_modules: ["q_proj"] } };

/** With as many fields as fit together: what a record holds has to be read for as long as its job is kept. */
const DETAILED = {
  ...{ model: "toy", suffix: "detailed", seed: 11, metadata: { team: "red" } },
  lora: {
    ...{ r: 8, lora_alpha: 16, lora_dropout: 0.05, target_modules: ["q_proj", "v_proj"], use_rslora: true },
    ...{
      rank_pattern: { "layers.0.self_attn.v_proj": 4 },
      alpha_pattern: { "layers.0.self_attn.v_proj": 8 },
    },
  },
};
const DETAILED_TRAINING = {
  ...{ num_train_epochs: 2, gradient_accumulation_steps: 2, learning_rate: 3e-4, warmup_ratio: 0.1 },
  ...{ lr_scheduler_type: "cosine", weight_decay: 0.01, max_grad_norm: 0.5, adam_beta2: 0.99 },
  ...{
    label_smoothing_factor: 0.1,
    neftune_noise_alpha: 5,
    logging_steps: 1,
    save_strategy: "steps",
    save_steps: 2,
  },
  ...{ save_total_limit: 3, eval_strategy: "steps", eval_steps: 2, load_best_model_at_end: true },
  ...{ report_to: "jsonl", on_divergence: "halve_learning_rate" },
};

exitWithHelp(import.meta.url);
const [target] = Deno.args;
if (target === undefined) throw new Error("the path is missing");
const folder = await Deno.makeTempDir({ prefix: "lorafleet-folder-" });
{
  await using children = new AsyncDisposableStack();
  children.defer(() => Deno.remove(folder, { recursive: true }));
  await writeToyModel(`${folder}/models/toy`);
  const args = ["--port", String(freePort()), "--model-roots", `${folder}/models`];
  const coordinator = children.use(startCoordinatorChild(`${folder}/data`, args));
  const joinUrl = await coordinator.joinUrl();
  const api = coordinator.api();
  const post = async (path: string, body: unknown, key: string | null = null) => {
    const headers = {
      "content-type": "application/json",
      ...key === null ? {} : { authorization: `Bearer ${key}` },
    };
    const response = await fetch(`${api}${path}`, { method: "POST", headers, body: JSON.stringify(body) });
    const answer = await response.json();
    if (!response.ok) throw new Error(`POST ${path}: ${JSON.stringify(answer)}`);
    return answer;
  };
  await post("/api-keys", { name: "ann", role: "submit", quotas: { jobs: 3 } });
  await post("/join-tokens", { name: "the rack", expires_in_seconds: 3600 });
  const worker = startToyWorker({ name: "w-a", joinUrl, cacheFolder: `${folder}/cache`, gradientMs: 10 });
  children.defer(() => worker.stop());

  const ended = (id: string) =>
    until(`the end of ${id}`, async () => (await jobOf(api, id)).status === "succeeded");
  const viewOf = async (id: string) => await (await fetch(`${api}/fine_tuning/jobs/${id}`)).json();
  const adapterOf = async (id: string): Promise<string> => {
    const { result_files } = await viewOf(id);
    const files = await Promise.all(
      result_files.map(async (file: string) => await (await fetch(`${api}/files/${file}`)).json()),
    );
    return files.find(({ filename }) => filename === "adapter_model.safetensors").sha256;
  };
  const steps = { ...TRAINING, save_strategy: "steps", save_steps: 2 };
  const evaluated = await submitJob(
    api,
    { ...steps, max_steps: 4, eval_strategy: "steps", eval_steps: 2 },
    {},
    {
      ...MODEL,
      dataset: { max_seq_length: 64, test_size: 8 },
    },
  );
  await ended(evaluated);
  const cancelled = await submitJob(api, { ...steps, max_steps: 4 }, {}, MODEL);
  await post(`/fine_tuning/jobs/${cancelled}/cancel`, {});
  // Long enough for a backup in its middle.
  const interrupted = await submitJob(api, { ...steps, max_steps: 20 }, { audit_rate: 0.5 }, MODEL);
  const detailed = await submitJob(api, DETAILED_TRAINING, { gradient_codec: "int8" }, {
    ...DETAILED,
    dataset: { max_seq_length: 64, test_size: 8, shuffle_seed: 3 },
  });
  await until("step 9", async () => (await jobOf(api, interrupted)).step >= 9);
  const backup = await fetch(`${api}/backups`, { method: "POST" });
  const tar = new Uint8Array(await backup.arrayBuffer());
  await ended(interrupted);

  const expected = {
    made_at: new Date(systemClock.now()).toISOString(),
    version: (await (await fetch(new URL("/openapi.json", api))).json()).info.version,
    jobs: {
      [evaluated]: { status: "succeeded", adapter_sha256: await adapterOf(evaluated) },
      [cancelled]: { status: "cancelled" },
      [interrupted]: { status: "running", adapter_sha256: await adapterOf(interrupted) },
      [detailed]: { status: "queued" },
    },
    views: { [evaluated]: await viewOf(evaluated), [detailed]: await viewOf(detailed) },
  };
  await Deno.mkdir(target.split("/").slice(0, -1).join("/"), { recursive: true });
  const packed = new Blob([tar]).stream().pipeThrough(new CompressionStream("gzip"));
  await Deno.writeFile(`${target}.tar.gz`, packed);
  await Deno.writeTextFile(`${target}.json`, `${JSON.stringify(expected, null, 1)}\n`);
}
