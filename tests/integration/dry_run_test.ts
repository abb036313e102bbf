/** `POST /v1/fine_tuning/jobs?dry_run=true`: everything about a job before it exists. */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import type { World } from "../../coordinator/testing/app_fixture.ts";
import { GOOD_DATASET } from "./bad_input.ts";
import { parseJobRequest } from "../../coordinator/job_request/parse.ts";
import { checkNewJob } from "../../coordinator/planning/preparation/prepare_rows.ts";
import { withBase } from "./base_world.ts";

async function post(world: World, query: string, body: object) {
  const response = await world.app.request(`/v1/fine_tuning/jobs${query}`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body),
  });
  return { status: response.status, json: await response.json() };
}

Deno.test("a dry run tells tokens, masks, steps, memory, time and cost, and creates nothing", () =>
  withBase(GOOD_DATASET, async (world, _folder, training_file) => {
    const query = "?dry_run=true&tokens_per_second=1000&price_per_hour=0.29&gpu_gib=8";
    const body = { model: "base", training_file, training: { num_train_epochs: 2 } };
    const { status, json } = await post(world, query, body);
    assertEquals([status, json.object], [200, "fine_tuning.job.dry_run"], JSON.stringify(json));
    const { dataset, masks, memory, time } = json;
    assertEquals([dataset.examples, dataset.truncated_rows, json.total_steps], [3, 0, 2]);
    assertEquals(json.total_tokens, 2 * dataset.tokens);
    assertEquals(dataset.trained_tokens_per_example, dataset.trained_tokens / 3);
    assertEquals(masks.map((mask: { line: number }) => mask.line), [1, 2, 3]);
    const [context, trained] = masks[0].segments;
    assertEquals([context.trained, trained.trained], [false, true]);
    assertStringIncludes(context.text, "mint");
    assertStringIncludes(trained.text, "m i n t");
    assertEquals(memory.cards[0].name, "a card of 8 GiB");
    assert(memory.cards.every((card: { fits: boolean }) => card.fits), "the demo's base model is tiny");
    assertEquals(memory.workers.map((worker: { fits: null }) => worker.fits), [null]);
    assertEquals(time.seconds, json.total_tokens / 1000);
    assertEquals(time.cost, time.seconds / 3600 * 0.29);
    const ofFour = (await post(world, `${query}&workers=4`, body)).json.time;
    assertEquals([ofFour.workers, ofFour.cost], [4, time.seconds / 3600 * 4 * 0.29]);
    assertEquals(json.busy, {
      ...{ workers: 1, items_per_step: 8, busy_share: 1, best_share: 1 },
      best: { "training.gradient_accumulation_steps": 8, "training.per_device_train_batch_size": 1 },
    });
    assertEquals((await (await world.app.request("/v1/fine_tuning/jobs")).json()).data, []);
  }));

Deno.test("config.json alone tells memory, and a bound of time where max_steps bounds it", () =>
  withBase(GOOD_DATASET, async (world, folder, training_file) => {
    const bare = `${world.folder}/models/bare`;
    await Deno.mkdir(bare);
    await Deno.copyFile(`${folder}/config.json`, `${bare}/config.json`);
    const query = "?dry_run=true&tokens_per_second=1000&price_per_hour=0.29";
    const asked = async (fields: object) =>
      (await post(world, query, {
        model: "bare",
        training_file,
        dataset: { max_seq_length: 128 },
        ...fields,
      })).json;

    const open = await asked({});
    assertEquals([open.dataset, open.total_steps, open.total_tokens, open.time.seconds], Array(4).fill(null));
    assertStringIncludes(open.time.source, "training.max_steps bounds them");
    assertStringIncludes(
      open.warnings.at(-1),
      "has no tokenizer.json, so rows and masks are not known; memory is of full",
    );

    const bounded = await asked({ training: { max_steps: 50, gradient_accumulation_steps: 4 } });
    assertEquals([bounded.total_steps, bounded.total_tokens], [50, 50 * 4 * 128]);
    assertEquals(bounded.time.seconds, bounded.total_tokens / 1000);
    assertEquals(bounded.memory.cards[0].fits, true);

    // The same memory as with the rows, whose micro-batch is at most full.
    const { json: full } = await post(world, query, {
      ...{ model: "base", training_file, dataset: { max_seq_length: 128 } },
    });
    const needed = (plan: typeof full) => plan.memory.cards[0].needed_bytes;
    assert(needed(bounded) >= needed(full), `${needed(bounded)} < ${needed(full)}`);
    assertEquals((await asked({ lora: { target_modules: ["nope"] } })).error.param, "lora.target_modules");
    const { status, json: job } = await post(world, "", { model: "bare", training_file });
    assertEquals([status, job.error.code], [400, "invalid_model"]);
    const { spec } = parseJobRequest({ model: "bare", training_file });
    assertEquals((await checkNewJob(spec, bare, "if there")).spec.model, "bare");
  }));

Deno.test("a dry run has the job's own warnings and refusals", () =>
  withBase(GOOD_DATASET, async (world, _folder, training_file) => {
    const asked = async (fields: object, query = "?dry_run=true") =>
      (await post(world, query, { model: "base", training_file, ...fields })).json;
    const warned = await asked({ dataset: { completion_only_loss: false, max_seq_length: 100_000 } });
    assertStringIncludes(warned.warnings.join(" "), "max_position_embeddings");
    assertEquals((await asked({ training: { learning_rate: 0 } })).error.param, "training.learning_rate");
    assertEquals((await asked({ lora: { target_modules: ["nope"] } })).error.param, "lora.target_modules");
    assertEquals((await asked({ dataset: { max_seq_length: 4 } })).error.code, "invalid_dataset");
    assertEquals((await asked({}, "?dry_run=perhaps")).error.param, "dry_run");
    assertEquals((await asked({}, "?dry_run=true&price_per_hour=-1")).error.param, "price_per_hour");
    for (const [value, need] of [["abc", "a number is needed"], ["0", "a number above 0 is needed"]]) {
      const { message } = (await asked({}, `?dry_run=true&tokens_per_second=${value}`)).error;
      assertEquals(message, `query parameter tokens_per_second is "${value}"; ${need}`);
    }
    // Not a job that nobody wanted.
    assertEquals((await asked({}, "?price_per_hour=1")).error.param, "price_per_hour");
    assertEquals((await asked({}, "?dry_run=true&workers=2")).error.param, "workers");
    assertEquals((await asked({ model: "org/absent" })).error.code, "model_not_found");
  }));

Deno.test("a dry run tells the forms that the result cannot have", () =>
  withBase(GOOD_DATASET, async (world, _folder, training_file) => {
    const { json } = await post(world, "?dry_run=true", { model: "base", training_file });
    const obstacles = new Map<string, string | null>(
      json.exports.map(({ kind, obstacle }: { kind: string; obstacle: string | null }) => [kind, obstacle]),
    );
    assertEquals([...obstacles.keys()], ["merged", "gguf", "adapter_gguf", "adapter"]);
    // The demo's tokenizer cuts text by a rule of its own.
    assertStringIncludes(obstacles.get("gguf") ?? "", "llama.cpp has no name for its pre-tokenizer");
    obstacles.delete("gguf");
    assertEquals([...obstacles.values()], [null, null, null]);
  }));

Deno.test("the job that follows finds the rows that its dry run prepared", () =>
  withBase(GOOD_DATASET, async (world, _folder, training_file) => {
    const body = { model: "base", training_file };
    const { json: plan } = await post(world, "?dry_run=true", body);
    const { json: job } = await post(world, "", body);
    assertEquals((await world.finished(job.id)).totalSteps, plan.total_steps);
    const prepared = await Array.fromAsync(Deno.readDir(`${world.folder}/prepared`));
    assertEquals(prepared.filter(({ isFile }) => isFile).length, 1);
  }));

Deno.test("config and tokenizer are enough: without weights the plan is the same, and a job is refused", () =>
  withBase(GOOD_DATASET, async (world, folder, training_file) => {
    const body = { model: "base", training_file };
    const { json: whole } = await post(world, "?dry_run=true", body);
    await Deno.remove(`${folder}/model.safetensors`);
    const { json: plan } = await post(world, "?dry_run=true", body);
    assertEquals(plan, whole);
    assertStringIncludes((await post(world, "", body)).json.error.message, "there are no weights");
  }));
