import { assert, assertEquals } from "@std/assert";
import { withWorld } from "../testing/app_fixture.ts";
import { fakePrepare } from "../testing/fake_preparer.ts";
import { submit } from "./job_service_fixture.ts";
import { decideJob } from "./record/job_transition.ts";
import { newJob } from "./record/job.ts";
import { parseJobRequest } from "../job_request/parse.ts";

const prepare: typeof fakePrepare = async (request) => ({
  ...await fakePrepare(request),
  totalSteps: 60,
  checkpointSteps: [10, 30, 60],
});

Deno.test("a rollback voids the best evaluation, checkpoints and metrics of the steps that it repeats", () =>
  withWorld({ prepare }, async (world) => {
    const validation = await world.upload("rows");
    let starts = 0;
    const seen: unknown[] = [];
    world.fleet.beforeStep = ({ id }, step) => {
      if (step === 1) {
        starts++;
        const { best, step: stored } = world.jobs.get(id);
        const { items } = world.store.checkpoints(id, { after: null, limit: 9 });
        seen.push([stored, best, items.length]);
      }
      return Promise.resolve();
    };
    world.fleet.lossOf = (step) => starts === 1 && step > 30 ? 9 : 1.5 - step / 1000;
    const { id } = await submit(world, "a", {
      validation_file: validation.id,
      training: { on_divergence: "halve_learning_rate", load_best_model_at_end: true },
    });
    const job = await world.finished(id);
    assertEquals(seen, [[0, null, 0], [0, null, 0]]);
    assertEquals([job.status, job.rollback, job.best], [
      "succeeded",
      { step: 0, digest: null },
      { step: 30, value: 1 },
    ]);
    assertEquals(await world.artifacts.steps(id), [10, 30, 60]);
    const csv = await Deno.readTextFile(await world.files.path(world.files.get(job.resultFiles[0]!)));
    assertEquals(csv.split("\n").filter((line) => /^\d+,9,/.test(line)), []);
    assert(world.messages(id).some((message) => message.includes("goes on from the beginning with half")));
  }));

Deno.test("a rollback deletes a checkpoint that is being downloaded: the download ends whole, the next one has the new bytes", () =>
  withWorld({ prepare }, async (world) => {
    let [starts, id] = [0, ""];
    /** Of 1 MB, different after the rollback. */
    world.fleet.adapterFiles = (step) => [
      ["adapter_config.json", new TextEncoder().encode(`{"step":${step}}`)],
      ["adapter_model.safetensors", new Uint8Array(1_000_000).fill(starts)],
    ];
    const path = () => `/v1/fine_tuning/jobs/${id}/artifacts/adapter_model.safetensors?step=30`;
    let open: ReadableStreamDefaultReader<Uint8Array> | null = null;
    let size = 0;
    world.fleet.beforeStep = async (job, step) => {
      if (step === 1) starts++;
      if (step !== 35 || starts !== 1) return;
      id = job.id;
      const response = await world.app.request(path());
      open = response.body!.getReader();
      size = (await open.read()).value!.length;
    };
    world.fleet.lossOf = (step) => starts === 1 && step > 30 ? 9 : 1.5 - step / 1000;
    const submitted = await submit(world, "a", { training: { on_divergence: "halve_learning_rate" } });
    const job = await world.finished(submitted.id);
    assertEquals([job.status, job.rollback?.step, starts], ["succeeded", 0, 2]);
    const reader = open! as ReadableStreamDefaultReader<Uint8Array>;
    for (let part = await reader.read(); !part.done; part = await reader.read()) {
      size += part.value.length;
      assert(part.value.every((byte) => byte === 1));
    }
    assertEquals(size, 1_000_000);
    const again = await world.app.request(path());
    assert((await again.bytes()).every((byte) => byte === 2));
    assertEquals(world.defects, []);
  }));

Deno.test("a state whose losses were on their way up is passed over for an older one", async () => {
  const often: typeof fakePrepare = async (request) => ({
    ...await fakePrepare(request),
    totalSteps: 100,
    checkpointSteps: [10, 30, 40, 50, 100],
  });
  await withWorld({ prepare: often }, async (world) => {
    const asked: number[] = [];
    world.artifacts.state = (_job, step) => {
      asked.push(step);
      return Promise.resolve({ readWords: () => Promise.reject(new Error("not read")) } as never);
    };
    let starts = 0;
    world.fleet.beforeStep = (_job, step) => {
      if (step === 1) starts++;
      return Promise.resolve();
    };
    // Above the start of 1.5 from step 36 on, far above it from step 51 on.
    world.fleet.lossOf = (step) =>
      starts > 1 ? 1 : step > 50 ? 9 : step > 35 ? 1.6 + (step - 35) / 10 : 1.5 - step / 1000;
    const { id } = await submit(world, "a", { training: { on_divergence: "halve_learning_rate" } });
    const job = await world.finished(id);
    // How it goes on from there needs a real base model (tests/integration/divergence_test.ts).
    assertEquals(job.rollback?.step, 30);
    assertEquals(asked.slice(0, 2), [10, 30]);
  });
});

Deno.test("a job that went on from an earlier one's state begins there again", () => {
  const { spec } = parseJobRequest({ model: "org/tiny", training_file: "file-a" });
  const resumed_state = { model: "ft:org/tiny::ftjob-b:ckpt-step-6", step: 6, digest: "d" };
  const job = newJob({
    ...{ id: "ftjob-a", createdAt: 1, suffix: null, metadata: null, validationFile: null },
    spec: { ...spec, resumed_state },
  });
  const change = {
    type: "learningRateHalved",
    rollback: { step: 0, digest: null },
    why: "it diverges",
  } as const;
  const best = { step: 8, value: 1 };
  const decision = decideJob({ ...job, status: "running", step: 9, best }, change, 2);
  assertEquals(
    decision.reason,
    "It diverges. The job goes on from step 6, where it began, with half the learning rate.",
  );
  // Its checkpoint is deleted already.
  assertEquals(decision.job.best, null);
});
