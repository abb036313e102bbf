/**
 * `training.resume_from_checkpoint`: a job that goes on from an earlier job's training state is the same training, bit for bit. The
 * coordinator, its broker and the OpenAI package are real, the workers have no GPU.
 */
import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import OpenAI from "openai";
import { freePort, startCoordinatorChild, until, withFolder } from "./coordinator_child.ts";
import { startToyWorker } from "./toy_worker.ts";
import { toyFile, writeToyModel } from "./toy_model.ts";

const TRAINING = {
  gradient_accumulation_steps: 4,
  learning_rate: 1e-1,
  lr_scheduler_type: "constant",
  warmup_ratio: 0,
  save_strategy: "steps",
  save_steps: 6,
};
const LORA = { r: 4, lora_alpha: 8, target_modules: ["q_proj"] };

Deno.test("6 steps, and 6 more from their state, are 12 steps, whichever workers do them and whoever restarts", () =>
  withFolder(async (folder) => {
    await writeToyModel(`${folder}/models/toy`);
    const args = ["--port", String(freePort()), "--model-roots", `${folder}/models`];
    await using children = new AsyncDisposableStack();
    let coordinator = children.use(startCoordinatorChild(`${folder}/data`, args));
    const joinUrl = await coordinator.joinUrl();
    let gradientMs = 0;
    const worker = (name: string) =>
      startToyWorker({ name, joinUrl, cacheFolder: `${folder}/cache`, gradientMs });
    const workers = ["w-a", "w-b"].map(worker);
    children.defer(async () => void await Promise.all(workers.map((agent) => agent.stop())));
    const client = new OpenAI({ apiKey: "none", baseURL: coordinator.api(), maxRetries: 3 });
    const upload = async (from: number) =>
      (await client.files.create({ file: await toyFile(from, 64), purpose: "fine-tune" })).id;
    const [training_file, same_data, other_data] = [await upload(0), await upload(0), await upload(64)];

    const create = (training: object, fields: object = {}) =>
      client.fineTuning.jobs.create({ model: "toy", training_file, training, ...fields } as never);
    const outcome = async (id: string) => {
      let job = await client.fineTuning.jobs.retrieve(id);
      await until("the end of the job", async () => {
        job = await client.fineTuning.jobs.retrieve(id).catch(() => job);
        return ["succeeded", "failed"].includes(job.status);
      }, () => coordinator.stderr().slice(-3000));
      if (job.status === "failed") return { job, sha256: "", steps: [] as string[][] };
      const csv = await (await client.files.content(job.result_files[0]!)).text();
      const { sha256 } = await client.files.retrieve(job.result_files[2]!) as unknown as { sha256: string };
      return {
        job,
        sha256,
        steps: csv.trim().split("\n").slice(1).map((line) => line.split(",").slice(0, 2)),
      };
    };
    const first = { lora: LORA, dataset: { max_seq_length: 64 } };
    const whole = await outcome((await create({ ...TRAINING, max_steps: 12 }, first)).id);
    const half = await outcome((await create({ ...TRAINING, max_steps: 6 }, first)).id);
    assertEquals(half.steps, whole.steps.slice(0, 6));

    // Everything but the length is the earlier job's.
    const rest = await outcome((await create({ resume_from_checkpoint: half.job.id, max_steps: 12 })).id);
    assertEquals([rest.sha256, rest.steps], [whole.sha256, whole.steps.slice(6)]);

    // By its checkpoint, with the same data in a different file, a different worker, and a coordinator that dies on the way.
    const { data: [checkpoint] } = await client.fineTuning.jobs.checkpoints.list(half.job.id);
    for (const agent of workers) await agent.stop();
    gradientMs = 40;
    workers.push(worker("w-c"));
    const again = await create(
      { resume_from_checkpoint: checkpoint!.id, max_steps: 12 },
      { training_file: same_data },
    );
    await until(
      "the start",
      async () => (await client.fineTuning.jobs.retrieve(again.id)).status === "running",
    );
    coordinator.kill("SIGKILL");
    await coordinator.ended;
    coordinator = children.use(startCoordinatorChild(`${folder}/data`, args));
    await coordinator.joinUrl();
    const restarted = await outcome(again.id);
    assertEquals([restarted.sha256, restarted.steps], [whole.sha256, whole.steps.slice(6)]);

    // Different data: the adapter alone, from step 1 on, as with model: ft:….
    const resumed = await create({
      ...TRAINING,
      resume_from_checkpoint: half.job.fine_tuned_model!,
      max_steps: 3,
    }, {
      ...{ training_file: other_data, dataset: { max_seq_length: 64 } },
    });
    const named = await create({ ...TRAINING, max_steps: 3 }, {
      ...{ training_file: other_data, dataset: { max_seq_length: 64 }, model: half.job.fine_tuned_model! },
    });
    const [fromAdapter, plain] = [await outcome(resumed.id), await outcome(named.id)];
    assertEquals([fromAdapter.sha256, fromAdapter.steps], [plain.sha256, plain.steps]);
    const events = (await client.fineTuning.jobs.listEvents(resumed.id, { limit: 100 })).data;
    const note = events.map(({ message }) => message).find((message) => message.includes("only the adapter"));
    assertStringIncludes(note ?? "", "training_file holds different data");

    for (
      const [training, fields, param, words] of [
        [
          { resume_from_checkpoint: "ftjob-none" },
          {},
          "training.resume_from_checkpoint",
          "is no job, checkpoint or model",
        ],
        [{ resume_from_checkpoint: true }, {}, "training.resume_from_checkpoint", "the id of a job"],
        [{ resume_from_checkpoint: half.job.id }, { lora: { r: 8 } }, "lora.r", "leave it out"],
        [{ resume_from_checkpoint: half.job.id }, { model: "other" }, "model", 'set model to "toy"'],
        [
          { resume_from_checkpoint: half.job.id },
          {},
          "training.max_steps",
          "none is left; raise training.max_steps (6)",
        ],
      ] as const
    ) {
      const error = await assertRejects(() => create(training, fields), OpenAI.BadRequestError, words);
      assertEquals(error.param, param);
    }

    await Deno.writeTextFile(
      `${folder}/models/toy/config.json`,
      (await Deno.readTextFile(`${folder}/models/toy/config.json`)) + "\n",
    );
    const changed = await outcome((await create({ resume_from_checkpoint: half.job.id, max_steps: 12 })).id);
    assert(changed.job.status === "failed");
    assertStringIncludes(changed.job.error!.message, "has been changed since job");
  }));
