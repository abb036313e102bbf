import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { systemClock } from "../../shared/clock.ts";
import { LoraFleetError } from "../../shared/errors.ts";
import type { PrepareRequest } from "../planning/preparation/prepare_request.ts";
import { withWorld } from "../testing/app_fixture.ts";
import { fakePrepare } from "../testing/fake_preparer.ts";
import { submit } from "./job_service_fixture.ts";

Deno.test("a job is prepared and trained; its results are step metrics and the adapter's two files", () =>
  withWorld({}, async (world) => {
    const created = await submit(world);
    assertEquals(created.status, "validating_files");
    const job = await world.finished(created.id);
    assertEquals([job.status, job.step, job.totalSteps, job.trainedTokens], ["succeeded", 4, 4, 400]);
    assertEquals(job.fineTunedModel, `ft:org/tiny::${job.id}`);
    const results = job.resultFiles.map((id) => world.files.get(id));
    assertEquals(results.map(({ filename }) => filename), [
      "step_metrics.csv",
      "adapter_config.json",
      "adapter_model.safetensors",
    ]);
    assertEquals(await Deno.readTextFile(await world.files.path(results[1]!)), '{"step":4}');
    const checkpoints = world.store.checkpoints(job.id, { after: null, limit: 9 }).items;
    assertEquals(checkpoints.map(({ step, trainLoss }) => [step, trainLoss]), [[4, 0.5], [2, 1]]);
    assertEquals(world.messages(job.id), [
      `Created the job ${job.id}: org/tiny on train.jsonl.`,
      "The data is prepared: 4 steps. The job is queued.",
      "Training has started.",
      "2 workers have joined.",
      "Step 1/4: training loss=2.0000",
      "Step 2/4: training loss=1.0000",
      "The checkpoint of step 2 is stored.",
      "Step 3/4: training loss=0.6667",
      "Step 4/4: training loss=0.5000",
      "The checkpoint of step 4 is stored.",
      "The job has succeeded: 4 steps, 400 tokens.",
    ]);
    const metrics = world.store.eventsSince(job.id, 0, 99).find((event) => event.type === "metrics")!;
    assertEquals([metrics.data?.["step"], metrics.data?.["eta_seconds"], metrics.data?.["workers"]], [
      1,
      1.5,
      2,
    ]);
    assertEquals(world.defects, []);
  }));

Deno.test("the tokenizer's files are results beside the adapter", () =>
  withWorld({}, async (world) => {
    const folder = `${world.folder}/models/org/tiny`;
    await Deno.writeTextFile(`${folder}/tokenizer.json`, '{"of":"tiny"}');
    await Deno.writeTextFile(`${folder}/chat_template.jinja`, "{{ messages }}");
    await Deno.writeTextFile(`${folder}/generation_config.json`, "{}");
    const job = await world.finished((await submit(world, "a")).id);
    const results = job.resultFiles.map((id) => world.files.get(id));
    assertEquals(results.map(({ filename }) => filename), [
      "step_metrics.csv",
      "adapter_config.json",
      "adapter_model.safetensors",
      "chat_template.jinja",
      "tokenizer.json",
    ]);
    await Deno.remove(`${folder}/tokenizer.json`);
    assertEquals(await Deno.readTextFile(await world.files.path(results[4]!)), '{"of":"tiny"}');
    await assertRejects(() => world.files.delete(results[4]!.id), LoraFleetError, "stays with it");
  }));

Deno.test("a job whose adapter fails its check has failed with that error", () => {
  const checked: string[] = [];
  const checkAdapter = (path: string, steps: number) => {
    checked.push(path);
    return Promise.reject(
      new LoraFleetError("invalid_request", `not moved in ${steps} steps`, { param: "x" }),
    );
  };
  return withWorld({ checkAdapter }, async (world) => {
    const job = await world.finished((await submit(world, "a")).id);
    assertEquals([job.status, job.resultFiles, job.error?.param], ["failed", [], "x"]);
    assertStringIncludes(job.error!.message, "not moved in");
    assert(checked[0]!.endsWith("adapter_model.safetensors"));
  });
});

Deno.test("a job lets go of the files of its rows when it ends, however it ends", async () => {
  let open = 0;
  const prepare = async (request: PrepareRequest) => {
    open++;
    const files = { lost: new AbortController().signal, [Symbol.dispose]: () => void open-- };
    return { ...await fakePrepare(request), files };
  };
  await withWorld({ prepare }, async (world) => {
    assertEquals((await world.finished((await submit(world, "a")).id)).status, "succeeded");
    await systemClock.sleep(0);
    // Preparing and planning: the fake one opens for both.
    assertEquals(open, 1);
    world.fleet.beforeStep = () => Promise.reject(new LoraFleetError("timeout", "no worker"));
    assertEquals((await world.finished((await submit(world, "b")).id)).status, "failed");
    await systemClock.sleep(0);
    assertEquals(open, 2);
  });
});

Deno.test("a job whose rows cannot be read any more goes on with a new plan, but not for ever", async () => {
  let losing = new AbortController();
  const prepare = async (request: PrepareRequest) => {
    losing = new AbortController();
    return { ...await fakePrepare(request), files: { lost: losing.signal, [Symbol.dispose]() {} } };
  };
  await withWorld({ prepare }, async (world) => {
    let losses = 1;
    world.fleet.beforeStep = (_job, step) => {
      if (step === 2 && losses-- > 0) losing.abort(new LoraFleetError("storage", "bytes have changed"));
      return Promise.resolve();
    };
    const job = await world.finished((await submit(world)).id);
    assertEquals([job.status, job.step], ["succeeded", 4]);
    const warnings = world.messages(job.id).filter((message) => message.includes("prepared anew"));
    assertEquals(warnings, [
      "The job goes on from its last step with rows that are prepared anew: bytes have changed",
    ]);
    losses = 9;
    const failed = await world.finished((await submit(world)).id);
    assertEquals([failed.status, failed.error?.message], ["failed", "bytes have changed"]);
    assertEquals(world.defects, []);
  });
});

Deno.test("an error of the fleet fails the job", () =>
  withWorld({}, async (world) => {
    world.fleet.beforeStep = () => Promise.reject(new LoraFleetError("gpu_failure", "NaN everywhere"));
    const failed = await world.finished((await submit(world)).id);
    assertEquals(failed.error, { code: "gpu_failure", message: "NaN everywhere", param: null });
  }));

Deno.test("training that ends without an adapter fails the job", () =>
  withWorld({}, async (world) => {
    world.fleet.train = () => Promise.resolve();
    const failed = await world.finished((await submit(world)).id);
    assertEquals(failed.error?.code, "storage");
    assertStringIncludes(failed.error?.message ?? "", "step 4");
  }));
