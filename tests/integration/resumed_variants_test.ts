/**
 * `training.resume_from_checkpoint` where a step is more than a sum of gradients: with `fleet.local_steps` the outer optimizer's
 * momentum is part of the state; with int8 gradients each worker carries an error of rounding, which no state holds.
 */
import { assertEquals, assertStringIncludes } from "@std/assert";
import { jobOf, messagesOf, startCoordinatorChild, until, withFolder } from "./coordinator_child.ts";
import { startToyWorker } from "./toy_worker.ts";
import { toyFile, writeToyModel } from "./toy_model.ts";

const JOB = {
  model: "toy",
  lora: { r: 4, lora_alpha: 8, target_modules: ["q_proj"] },
  dataset: { max_seq_length: 64 },
};
const TRAINING = {
  gradient_accumulation_steps: 2,
  learning_rate: 1e-1,
  lr_scheduler_type: "constant",
  warmup_ratio: 0,
  save_strategy: "steps",
  save_steps: 6,
};

Deno.test("local steps: half a run and the rest from its state are the whole run; int8 gradients lose what was carried", () =>
  withFolder(async (folder) => {
    await writeToyModel(`${folder}/models/toy`);
    await using children = new AsyncDisposableStack();
    const coordinator = children.use(
      startCoordinatorChild(`${folder}/data`, ["--model-roots", `${folder}/models`]),
    );
    const joinUrl = await coordinator.joinUrl();
    const api = coordinator.api();
    const workers = ["w-a", "w-b"].map((name) =>
      startToyWorker({ name, joinUrl, cacheFolder: `${folder}/cache`, gradientMs: 0 })
    );
    children.defer(async () => void await Promise.all(workers.map((agent) => agent.stop())));
    const form = new FormData();
    form.append("purpose", "fine-tune");
    form.append("file", await toyFile(0, 64));
    const training_file = (await (await fetch(`${api}/files`, { method: "POST", body: form })).json()).id;

    const train = async (training: object, fields: object = {}) => {
      const response = await fetch(`${api}/fine_tuning/jobs`, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify({ model: "toy", training_file, training, ...fields }),
      });
      const { id } = await response.json();
      assertEquals(response.status, 200);
      const isOver = async () => ["succeeded", "failed"].includes((await jobOf(api, id)).status);
      await until("the end of the job", isOver, () => coordinator.stderr().slice(-3000));
      const job = await jobOf(api, id) as Awaited<ReturnType<typeof jobOf>> & { result_files: string[] };
      assertEquals([job.status, job.error], ["succeeded", null]);
      const csv = await (await fetch(`${api}/files/${job.result_files[0]}/content`)).text();
      const { sha256 } = await (await fetch(`${api}/files/${job.result_files[2]}`)).json();
      const steps = csv.trim().split("\n").slice(1).map((line) => line.split(",").slice(0, 2));
      return { id, sha256, steps };
    };

    const fleet = { local_steps: { inner_steps: 3, replicas: 2 } };
    const whole = await train({ ...TRAINING, max_steps: 24 }, { ...JOB, fleet });
    const half = await train({ ...TRAINING, max_steps: 12 }, { ...JOB, fleet });
    const rest = await train({ resume_from_checkpoint: half.id, max_steps: 24 });
    assertEquals([half.steps.length, rest.steps.length], [2, 2]);
    assertEquals([...half.steps, ...rest.steps], whole.steps);
    assertEquals(rest.sha256, whole.sha256);

    const int8 = { gradient_codec: "int8" };
    const first = await train({ ...TRAINING, max_steps: 6 }, { ...JOB, fleet: int8 });
    const second = await train({ resume_from_checkpoint: first.id, max_steps: 12 });
    assertEquals(second.steps.map(([step]) => step), ["7", "8", "9", "10", "11", "12"]);
    const notes = (await messagesOf(api, second.id)).filter((message) => message.includes("goes on after"));
    assertStringIncludes(notes[0]!, "what its workers carried over of the rounding to int8 is lost");
  }));
