import {
  assert,
  assertEquals,
  assertMatch,
  assertRejects,
  assertStringIncludes,
  assertThrows,
} from "@std/assert";
import { systemClock } from "../../shared/clock.ts";
import { LoraFleetError } from "../../shared/errors.ts";
import { parseJobRequest } from "../job_request/parse.ts";
import type { JobSpec } from "../../shared/job/job_spec.ts";
import { createFakeClock } from "../../shared/testing/fake_clock.ts";
import { fakePrepare, preparerOf, withWorld } from "../api/app_fixture.ts";
import type { World } from "../api/app_fixture.ts";
import type { JobRecord } from "./job.ts";
import type { PrepareRequest } from "../planning/preparation/prepare_request.ts";
import type { JobStore } from "./job_store.ts";
import { createMemoryJobStore } from "../testing/memory_job_store.ts";

async function submit(world: World, text = "a\nb", fields: object = {}): Promise<JobRecord> {
  const { id } = await world.upload(text);
  return await world.jobs.create(parseJobRequest({ model: "org/tiny", training_file: id, ...fields }));
}

/** Holds the fleet before a step until the test lets it go, or until the job is aborted. */
function holdBefore(world: World, heldStep: number): { reached: Promise<string>; release: () => void } {
  const reached = Promise.withResolvers<string>();
  const gate = Promise.withResolvers<void>();
  world.fleet.beforeStep = async (job, step, signal) => {
    if (step !== heldStep) return;
    reached.resolve(job.id);
    signal.addEventListener("abort", () => gate.resolve(), { once: true });
    await gate.promise;
  };
  return { reached: reached.promise, release: () => gate.resolve() };
}

Deno.test("a job is prepared, trained, and its results are a table of metrics and the adapter's two files", () =>
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

Deno.test("what can be known at once is refused at once, and no job is made", () =>
  withWorld({}, async (world) => {
    const { id } = await world.upload("a");
    const attempts: [object, string, string][] = [
      [{ model: "org/missing", training_file: id }, "model_not_found", "model"],
      [{ model: "org/tiny", training_file: "file-none" }, "invalid_request", "training_file"],
      [
        { model: "org/tiny", training_file: id, validation_file: "file-none" },
        "invalid_request",
        "validation_file",
      ],
    ];
    for (const [request, code, param] of attempts) {
      const error = await assertRejects(() => world.jobs.create(parseJobRequest(request)), LoraFleetError);
      assertEquals([error.code, error.param], [code, param]);
    }
    assertEquals(world.store.jobs({ after: null, limit: 9 }).items, []);
    assertThrows(() => world.jobs.get("ftjob-none"), LoraFleetError, "ftjob-none");
  }));

Deno.test("a job that does not fit a model in a folder is refused at once", () => {
  const checked: string[] = [];
  const checkModel = (spec: JobSpec, folder: string) => {
    checked.push(folder);
    return spec.lora.r <= 4 ? Promise.resolve({ spec, warnings: [] }) : Promise.reject(
      new LoraFleetError("invalid_request", "lora.r is too large", { param: "lora.r" }),
    );
  };
  return withWorld({ checkModel }, async (world) => {
    await assertRejects(() => submit(world, "a", { lora: { r: 8 } }), LoraFleetError, "too large");
    assertEquals(world.store.jobs({ after: null, limit: 9 }).items, []);
    await world.finished((await submit(world, "a", { lora: { r: 4 } })).id);
    assert(checked[0]!.endsWith("/models/org/tiny"));
  });
});

Deno.test("what the base model's checkpoint decides is in the job and said in its events", () => {
  const checkModel = (spec: JobSpec) => {
    const quantization = { ...spec.quantization, bnb_4bit_use_double_quant: false };
    return Promise.resolve({ spec: { ...spec, quantization }, warnings: ["stored without"] });
  };
  return withWorld({ checkModel }, async (world) => {
    const job = await submit(world, "a");
    assertEquals(world.jobs.get(job.id).spec.quantization.bnb_4bit_use_double_quant, false);
    const warnings = world.store.eventsSince(job.id, 0, 9).filter(({ level }) => level === "warn");
    assertEquals(warnings.map(({ message }) => message), ["stored without"]);
    await world.finished(job.id);
  });
});

Deno.test("the tokenizer's files are results beside the adapter, as PEFT and TRL save them", () =>
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

Deno.test("a job whose adapter did not move has failed, and its reason is in the job", () => {
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

Deno.test("warnings about a request are events", () =>
  withWorld({}, async (world) => {
    const job = await submit(world, "a", { training: { fp16: true } });
    const warning = world.store.eventsSince(job.id, 0, 9).find(({ level }) => level === "warn");
    assertStringIncludes(warning?.message ?? "", "training.fp16");
    await world.finished(job.id);
  }));

Deno.test("a bad dataset fails the job with the line, and the next job trains", () =>
  withWorld({}, async (world) => {
    const [bad, good] = [await submit(world, "a\n\nb"), await submit(world, "a")];
    const failed = await world.finished(bad.id);
    assertEquals([failed.status, failed.error], ["failed", {
      code: "invalid_dataset",
      message: "train.jsonl, line 2 is empty",
      param: "training_file",
    }]);
    assertEquals((await world.finished(good.id)).status, "succeeded");
    assertEquals(world.fleet.trained, [good.id]);
  }));

Deno.test("a defect of ours fails the job and is told to whoever watches the coordinator", () =>
  withWorld({}, async (world) => {
    const failed = await world.finished((await submit(world, "defect")).id);
    assertEquals(failed.error?.code, "internal_error");
    assertEquals(world.defects, [`job ${failed.id} failed: a defect with secrets`]);
  }));

Deno.test("what the fleet throws fails the job", () =>
  withWorld({}, async (world) => {
    world.fleet.beforeStep = () => Promise.reject(new LoraFleetError("gpu_failure", "NaN everywhere"));
    const failed = await world.finished((await submit(world)).id);
    assertEquals(failed.error, { code: "gpu_failure", message: "NaN everywhere", param: null });
  }));

Deno.test("a fleet that ends without an adapter has failed", () =>
  withWorld({}, async (world) => {
    world.fleet.train = () => Promise.resolve();
    const failed = await world.finished((await submit(world)).id);
    assertEquals(failed.error?.code, "storage");
    assertStringIncludes(failed.error?.message ?? "", "step 4");
  }));

Deno.test("one job trains at a time, the others wait in order", () =>
  withWorld({}, async (world) => {
    const hold = holdBefore(world, 2);
    const ids = [(await submit(world)).id, (await submit(world)).id, (await submit(world)).id];
    assertEquals(await hold.reached, ids[0]!);
    await world.until(ids[2]!, (job) => job.status === "queued");
    assertEquals(ids.map((id) => world.jobs.get(id).status), ["running", "queued", "queued"]);
    hold.release();
    for (const id of ids) assertEquals((await world.finished(id)).status, "succeeded");
    assertEquals(world.fleet.trained, ids);
  }));

Deno.test("a running job is cancelled at once; nothing is recorded of it afterwards; the next one trains", () =>
  withWorld({}, async (world) => {
    const hold = holdBefore(world, 2);
    const [first, second] = [await submit(world), await submit(world)];
    await hold.reached;
    assertEquals(world.jobs.cancel(first.id).status, "cancelled");
    assertEquals((await world.finished(second.id)).status, "succeeded");
    const job = world.jobs.get(first.id);
    assertEquals([job.status, job.step, job.error], ["cancelled", 1, null]);
    assertEquals(world.messages(first.id).at(-1), "The job was cancelled while it was running.");
    assertEquals(assertThrows(() => world.jobs.cancel(first.id), LoraFleetError).code, "conflict");
  }));

Deno.test("a queued job and one whose data is being prepared are cancelled, too", async () => {
  const preparing = Promise.withResolvers<void>();
  let aborted = false;
  await withWorld({
    prepare: ({ signal }) => {
      preparing.resolve();
      return new Promise((_, reject) =>
        signal.addEventListener("abort", () => {
          aborted = true;
          reject(signal.reason);
        })
      );
    },
  }, async (world) => {
    const job = await submit(world);
    await preparing.promise;
    world.jobs.cancel(job.id);
    assert(aborted);
    assertStringIncludes(world.messages(job.id).at(-1)!, "while it was validating_files");
  });
  await withWorld({}, async (world) => {
    const hold = holdBefore(world, 1);
    const [running, queued] = [await submit(world), await submit(world)];
    await world.until(queued.id, (job) => job.status === "queued");
    await hold.reached;
    world.jobs.cancel(queued.id);
    hold.release();
    await world.finished(running.id);
    assertEquals(world.fleet.trained, [running.id]);
  });
});

Deno.test("a paused job lets others go first, and goes on when it is resumed", () =>
  withWorld({}, async (world) => {
    const hold = holdBefore(world, 3);
    const [first, second] = [await submit(world), await submit(world)];
    await hold.reached;
    assertEquals(world.jobs.pause(first.id).status, "paused");
    world.fleet.beforeStep = () => Promise.resolve();
    assertEquals((await world.finished(second.id)).status, "succeeded");
    const paused = world.jobs.get(first.id);
    assertEquals([paused.status, paused.step, paused.error], ["paused", 2, null]);
    assertEquals(
      world.messages(first.id).at(-1),
      "The job was paused while it was running, after step 2.",
    );
    assertEquals(assertThrows(() => world.jobs.pause(first.id), LoraFleetError).code, "conflict");
    assertEquals(world.jobs.resume(first.id).status, "queued");
    assertEquals((await world.finished(first.id)).status, "succeeded");
    assert(world.messages(first.id).includes("The job is resumed, after step 2: it is queued again."));
    assertEquals(world.fleet.trained, [first.id, second.id, first.id]);
    // Its log stays for as long as it may go on.
    await world.jobs.stop();
    assertEquals([...world.fleet.ends], [[second.id, "done"], [first.id, "done"]]);
    assertEquals(world.defects, []);
  }));

Deno.test("paused and resumed again and again, at any moment: the job succeeds", () =>
  withWorld({}, async (world) => {
    const job = await submit(world);
    let pauses = 0;
    const flip = () => {
      if (world.jobs.get(job.id).status === "paused") return;
      world.jobs.pause(job.id);
      world.jobs.resume(job.id);
      pauses++;
    };
    flip();
    await world.until(job.id, ({ status }) => status === "queued");
    flip();
    for (const heldStep of [1, 4]) {
      const hold = holdBefore(world, heldStep);
      await hold.reached;
      flip();
      flip();
    }
    world.fleet.beforeStep = () => Promise.resolve();
    assertEquals([(await world.finished(job.id)).status, pauses], ["succeeded", 6]);
    assertEquals(world.defects, []);
  }));

Deno.test("a job that is paused while its data is prepared is prepared when it is resumed", async () => {
  const preparing = Promise.withResolvers<void>();
  let isFirst = true;
  await withWorld({
    prepare: (request) => {
      if (!isFirst) return fakePrepare(request);
      isFirst = false;
      preparing.resolve();
      return new Promise((_, reject) =>
        request.signal.addEventListener("abort", () => reject(request.signal.reason))
      );
    },
  }, async (world) => {
    const job = await submit(world);
    await preparing.promise;
    assertEquals(world.jobs.pause(job.id).status, "paused");
    assertEquals(world.jobs.resume(job.id).status, "validating_files");
    assertEquals((await world.finished(job.id)).status, "succeeded");
  });
});

Deno.test("a paused job is paused after a restart, too; cancelled, it leaves nothing with the fleet", () =>
  withWorld({}, async (before) => {
    const hold = holdBefore(before, 2);
    const job = await submit(before);
    await hold.reached;
    before.jobs.pause(job.id);
    await before.jobs.stop();
    await withWorld({ after: before }, (world) => {
      world.jobs.start();
      assertEquals(world.jobs.get(job.id).status, "paused");
      assertEquals(world.jobs.cancel(job.id).status, "cancelled");
      assertEquals([world.fleet.trained, [...world.fleet.ends]], [[], [[job.id, "cancelled"]]]);
      assertEquals(
        world.messages(job.id).at(-1),
        "The job was cancelled while it was paused.",
      );
      return Promise.resolve();
    });
  }));

Deno.test("records with numbers that no fleet carries fail by their field after a restart, and hold nobody up", () =>
  withWorld({}, async (before) => {
    await before.jobs.stop();
    const [good, long, endless] = [await submit(before), await submit(before), await submit(before)];
    const absurd = (id: string, change: (spec: JobRecord["spec"]) => JobRecord["spec"]) => {
      const job = before.jobs.get(id);
      before.store.putJob({ ...job, spec: change(job.spec) }, []);
    };
    absurd(long.id, (spec) => ({ ...spec, dataset: { ...spec.dataset, max_seq_length: 2 ** 40 } }));
    absurd(endless.id, (spec) => ({ ...spec, training: { ...spec.training, num_train_epochs: 1e9 } }));
    await withWorld({ after: before }, async (world) => {
      world.jobs.start();
      const [first, second] = [await world.finished(long.id), await world.finished(endless.id)];
      assertEquals([first.error?.param, second.error?.param], [
        "dataset.max_seq_length",
        "training.num_train_epochs",
      ]);
      assertEquals((await world.finished(good.id)).status, "succeeded");
      assertEquals(world.defects, []);
    });
  }));

Deno.test("after a restart a running job starts again, and the others follow in order", () =>
  withWorld({}, async (before) => {
    const hold = holdBefore(before, 3);
    const [running, queued] = [await submit(before), await submit(before, "a")];
    await hold.reached;
    await before.until(queued.id, (job) => job.status === "queued");
    await before.jobs.stop();
    assertEquals([running, queued].map(({ id }) => before.jobs.get(id).status), ["running", "queued"]);
    await withWorld({ after: before }, async (world) => {
      world.jobs.start();
      assertEquals(world.jobs.get(running.id).status, "queued");
      const job = await world.finished(running.id);
      assertEquals([job.status, job.step, job.trainedTokens], ["succeeded", 4, 400]);
      assert(
        world.messages(job.id).includes(
          "The coordinator has restarted while the job was running: it is queued again.",
        ),
      );
      assertEquals(world.store.checkpoints(job.id, { after: null, limit: 9 }).items.length, 2);
      assertEquals((await world.finished(queued.id)).status, "succeeded");
      assertEquals(world.fleet.trained, [running.id, queued.id]);
    });
  }));

Deno.test("a job that was not prepared before the restart is prepared after it", () =>
  withWorld({}, async (before) => {
    await before.jobs.stop();
    const job = await submit(before);
    assertEquals(before.jobs.get(job.id).status, "validating_files");
    await withWorld({ after: before }, async (world) => {
      world.jobs.start();
      assertEquals((await world.finished(job.id)).status, "succeeded");
    });
  }));

Deno.test("a micro-batch that is left out is told once, with its lines", () =>
  withWorld({}, async (world) => {
    world.fleet.excluded.set(3, { index: 1, workers: ["w-a"] });
    const hold = holdBefore(world, 4);
    const { id } = await submit(world);
    await hold.reached;
    const events = world.store.eventsSince(id, 0, 99).filter(({ data }) => data?.["micro_batch"] === 1);
    assertEquals(events.map(({ level, type, data }) => [level, type, data]), [
      ["warn", "message", { step: 3, micro_batch: 1, examples: [2], workers: ["w-a"] }],
    ]);
    assertEquals(events[0]!.message.includes("(line 2 of the training file)"), true, events[0]!.message);
    hold.release();
    const job = await world.finished(id);
    assertEquals(job.quarantined.map(({ step, microBatch }) => [step, microBatch]), [[3, 1]]);
    assertEquals(job.audits, { passed: 4, failed: 0, skipped: 0 });
  }));

Deno.test("a free fleet waits ten seconds for an older job's data, and no longer: no job keeps all others from training", async () => {
  const clock = createFakeClock();
  const gate = Promise.withResolvers<void>();
  const prepare: typeof fakePrepare = async (request) => {
    if (request.spec.seed === 1) await gate.promise;
    return await fakePrepare(request);
  };
  await withWorld({ clock, prepare }, async (world) => {
    const slow = await submit(world, "a", { seed: 1 });
    const ready = await submit(world, "a");
    await world.until(ready.id, ({ status }) => status === "queued");
    await clock.advance(9000);
    assertEquals([world.jobs.get(slow.id).status, world.fleet.trained], ["validating_files", []]);
    await clock.advance(1000);
    assertEquals((await world.finished(ready.id)).status, "succeeded");
    // It was waited for.
    const next = await submit(world, "a");
    assertEquals((await world.finished(next.id)).status, "succeeded");
    gate.resolve();
    assertEquals((await world.finished(slow.id)).status, "succeeded");
    assertEquals(world.fleet.trained, [ready.id, next.id, slow.id]);
  });
});

Deno.test("an older job that is ready in time trains first", async () => {
  const gate = Promise.withResolvers<void>();
  const prepare: typeof fakePrepare = async (request) => {
    if (request.spec.seed === 1) await gate.promise;
    return await fakePrepare(request);
  };
  await withWorld({ prepare }, async (world) => {
    const ids = [(await submit(world, "a", { seed: 1 })).id, (await submit(world, "a")).id];
    await world.until(ids[1]!, ({ status }) => status === "queued");
    gate.resolve();
    for (const id of ids) await world.finished(id);
    assertEquals(world.fleet.trained, ids);
  });
});

Deno.test("two jobs' data is prepared at a time, and a job that never ends it leaves room for the others", async () => {
  let going = 0;
  let most = 0;
  const prepare: typeof fakePrepare = async (request) => {
    most = Math.max(most, ++going);
    try {
      if (request.spec.seed !== 1) return await fakePrepare(request);
      return await new Promise((_, reject) =>
        request.signal.addEventListener("abort", () => reject(request.signal.reason))
      );
    } finally {
      going--;
    }
  };
  await withWorld({ prepare }, async (world) => {
    const hanging = await submit(world, "a", { seed: 1 });
    for (let count = 0; count < 10; count++) {
      const { id } = await submit(world, "a");
      await world.until(id, ({ status }) => status === "queued");
    }
    assertEquals([most, world.jobs.get(hanging.id).status], [2, "validating_files"]);
    assertEquals(world.jobs.cancel(hanging.id).status, "cancelled");
  });
});

Deno.test("a job's tokens up to any step are counted at once after a rollback, without a look at each step", async () => {
  let looks = 0;
  const prepare: typeof fakePrepare = async (request) => ({
    ...await fakePrepare(request),
    totalSteps: 4_000_000,
    checkpointSteps: { includes: () => false },
    tokensThrough: (step: number) => 100 * step,
    microBatchesOf: () => (looks++, []),
  });
  await withWorld({ prepare }, async (world) => {
    const train = world.fleet.train.bind(world.fleet);
    const rolledBack = Promise.withResolvers<void>();
    world.fleet.train = async (job, observer, signal) => {
      await observer.starting(0);
      await train({ ...job, totalSteps: 3 }, observer, signal);
      assertEquals((await observer.starting(2)).step, 2);
      rolledBack.resolve();
    };
    const { id } = await submit(world);
    await rolledBack.promise;
    assertEquals([world.jobs.get(id).trainedTokens, looks], [200, 0]);
    await world.finished(id);
  });
});

Deno.test("while a job trains, the data of the next one is kept ready; a cancelled one's is not", async () => {
  const warmed: string[] = [];
  const aborted: string[] = [];
  const openPreparer = () =>
    Promise.resolve({
      ...preparerOf(fakePrepare),
      warm: ({ id, signal }: PrepareRequest) => {
        warmed.push(id);
        signal.addEventListener("abort", () => aborted.push(id));
        return new Promise<void>((_, reject) =>
          signal.addEventListener("abort", () => reject(signal.reason))
        );
      },
    });
  await withWorld({ openPreparer }, async (world) => {
    const gates = new Map<string, () => void>();
    world.fleet.beforeStep = (job, step) =>
      step === 1 ? new Promise((resolve) => gates.set(job.id, resolve)) : Promise.resolve();
    const ids: string[] = [];
    for (let count = 0; count < 4; count++) {
      const { id } = await submit(world, "a");
      ids.push(id);
      await world.until(id, ({ status }) => status !== "validating_files");
    }
    const begun = (id: string) => until(() => gates.has(id));
    await begun(ids[0]!);
    // Nobody was in the queue when the first one began.
    assertEquals(warmed, []);
    gates.get(ids[0]!)!();
    await begun(ids[1]!);
    await until(() => warmed.length > 0);
    assertEquals(warmed, [ids[2]]);
    world.jobs.cancel(ids[2]!);
    assertEquals(aborted, [ids[2]]);
    gates.get(ids[1]!)!();
    await begun(ids[3]!);
    gates.get(ids[3]!)!();
    await world.finished(ids[3]!);
    assertEquals([warmed, world.defects], [[ids[2]], []]);
  });
});

async function until(isSo: () => boolean): Promise<void> {
  while (!isSo()) await new Promise((resolve) => setTimeout(resolve, 1));
}
/** A store whose disk is full while `disk.isFull`. */
function fullStore(disk: { isFull: boolean }): JobStore {
  const store = createMemoryJobStore();
  const onDisk = <A extends unknown[], T>(work: (...rest: A) => T) => (...rest: A): T => {
    if (disk.isFull) throw new LoraFleetError("storage", "database or disk is full");
    return work(...rest);
  };
  return {
    ...store,
    putJob: onDisk(store.putJob),
    appendEvents: onDisk(store.appendEvents),
    putCheckpoint: onDisk(store.putCheckpoint),
    putFile: onDisk(store.putFile),
  };
}

Deno.test("a disk that is full while a job trains: its records wait, none is lost or told twice, and it succeeds", async () => {
  const disk = { isFull: false };
  await withWorld({ store: fullStore(disk) }, async (world) => {
    const hold = holdBefore(world, 2);
    const job = await submit(world);
    await hold.reached;
    disk.isFull = true;
    hold.release();
    // Nobody can make another job meanwhile, and is told why.
    const response = await world.app.request("/v1/fine_tuning/jobs", {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ model: "org/tiny", training_file: job.spec.training_file }),
    });
    const { error } = await response.json();
    assertEquals([response.status, error.code, error.message], [507, "storage", "database or disk is full"]);
    await systemClock.sleep(300);
    assertEquals([world.jobs.get(job.id).status, world.jobs.get(job.id).step], ["running", 1]);
    disk.isFull = false;
    assertEquals((await world.finished(job.id)).status, "succeeded");
    const steps = world.messages(job.id).filter((message) => message.startsWith("Step "));
    assertEquals(steps.map((message) => message.slice(0, 8)), [
      "Step 1/4",
      "Step 2/4",
      "Step 3/4",
      "Step 4/4",
    ]);
    const told = world.messages(job.id).filter((message) => message.includes("could not be stored"));
    assertEquals(told.length, 1);
    assertMatch(told[0]!, /^For [0-2] s the job's records could not be stored; none of them is lost\.$/);
    const { items } = world.store.checkpoints(job.id, { after: null, limit: 9 });
    assertEquals(items.map(({ step }) => step), [4, 2]);
    // The metrics, and the adapter with its configuration.
    assertEquals(world.jobs.get(job.id).resultFiles.length, 3);
    assertEquals(world.defects, ["POST /v1/fine_tuning/jobs: database or disk is full"]);
  });
});

Deno.test("a coordinator that stops while the disk is full does not wait for room", async () => {
  const disk = { isFull: false };
  await withWorld({ store: fullStore(disk) }, async (world) => {
    const hold = holdBefore(world, 2);
    const job = await submit(world);
    await hold.reached;
    disk.isFull = true;
    hold.release();
    await systemClock.sleep(50);
    await world.jobs.stop();
    assertEquals(world.jobs.get(job.id).status, "running");
  });
});
