import { assert, assertEquals, assertRejects } from "@std/assert";
import { LoraFleetError } from "../../../shared/errors.ts";
import { parseJobRequest } from "../../job_request/parse.ts";
import { withWorld, type World } from "../../testing/app_fixture.ts";
import { submit } from "../job_service_fixture.ts";
import { onResumed } from "./resumed.ts";

/** A finished job whose training state is there, and what a job becomes that goes on from it. */
async function resumable(world: World, fields: object) {
  const { id, spec: { training_file } } = await world.finished((await submit(world, "a\nb", fields)).id);
  const artifacts = {
    state: () => Promise.resolve({ readWords: () => Promise.reject(new Error("unread")) }),
  };
  return async (training: object, others: object = {}) =>
    await onResumed(
      { store: world.store, artifacts: artifacts as never },
      parseJobRequest({
        ...{ model: "org/tiny", training_file, ...others },
        training: { resume_from_checkpoint: id, max_steps: 99, ...training },
      }),
    );
}

Deno.test("a resumed job evaluates as the earlier one did, on the same file, unless it says otherwise", () =>
  withWorld({}, async (world) => {
    const [rows, other] = [await world.upload("rows"), await world.upload("other rows")];
    const resume = await resumable(world, {
      validation_file: rows.id,
      training: { load_best_model_at_end: true, early_stopping_patience: 3 },
    });
    const same = await resume({});
    assertEquals([same.validationFile, same.spec.training.eval_strategy, same.spec.resumed_state?.step], [
      rows.id,
      "epoch",
      4,
    ]);
    assertEquals([same.spec.training.load_best_model_at_end, same.spec.training.early_stopping_patience], [
      true,
      3,
    ]);
    assertEquals((await resume({}, { validation_file: other.id })).validationFile, other.id);
    const moreOften = (await resume({ eval_steps: 2 })).spec.training;
    assertEquals([moreOften.eval_strategy, moreOften.eval_steps], ["steps", 2]);
    const patient = await resume({ early_stopping_patience: 7 });
    assertEquals([patient.spec.training.early_stopping_patience, patient.spec.training.eval_strategy], [
      7,
      "epoch",
    ]);
    assertEquals(patient.warnings.filter((warning) => warning.includes("no effect")), []);
    const none = await resume({ eval_strategy: "no" });
    assertEquals([none.validationFile, none.spec.training.load_best_model_at_end], [null, undefined]);
    assertEquals(none.spec.training.early_stopping_patience, undefined);
    const needy = await assertRejects(
      () => resume({ eval_strategy: "no", load_best_model_at_end: true }),
      LoraFleetError,
    );
    assertEquals(needy.param, "training.load_best_model_at_end");
  }));

Deno.test("rows to evaluate may come from elsewhere: the place in the data is that of the rows to train on", () =>
  withWorld({}, async (world) => {
    const rows = await world.upload("rows");
    const resume = await resumable(world, { dataset: { split: "train[:50%]", eval_split: "train[50%:]" } });
    const same = await resume({});
    assertEquals([same.spec.dataset.eval_split, same.validationFile], ["train[50%:]", null]);
    const elsewhere = await resume({}, { validation_file: rows.id });
    assert(elsewhere.spec.resumed_state !== undefined);
    assertEquals([elsewhere.spec.dataset.eval_split, elsewhere.validationFile], [undefined, rows.id]);
    const later = await resume({}, { dataset: { eval_split: "train[90%:]" } });
    assertEquals([later.spec.resumed_state?.step, later.spec.dataset.eval_split], [4, "train[90%:]"]);
    const split = await resume({}, { dataset: { split: "train[:40%]" } });
    assertEquals(split.spec.resumed_state, undefined);
    assert(split.warnings.some((warning) => warning.includes("dataset is not that job's")));

    const held = await resumable(world, { dataset: { test_size: 1 } });
    const both = await assertRejects(() => held({}, { validation_file: rows.id }), LoraFleetError);
    assertEquals(both.param, "dataset.test_size");
  }));

Deno.test("an argument of the earlier job's schedule needs no schedule beside it; what fits neither is refused", () =>
  withWorld({}, async (world) => {
    const resume = await resumable(world, {
      training: { lr_scheduler_type: "cosine_with_min_lr", lr_scheduler_kwargs: { min_lr_rate: 0.1 } },
    });
    const { training } = (await resume({ lr_scheduler_kwargs: { min_lr_rate: 0.2 } })).spec;
    assertEquals(training.lr_scheduler_kwargs, { min_lr_rate: 0.2 });
    // With different data the job has its own settings alone.
    const { id: training_file } = await world.upload("c");
    const error = await assertRejects(
      () => resume({ lr_scheduler_kwargs: { min_lr_rate: 0.2 } }, { training_file }),
      LoraFleetError,
    );
    assertEquals(error.param, "training.lr_scheduler_kwargs.min_lr_rate");
  }));

Deno.test("fields that do not go together are refused though one of them is the earlier job's", () =>
  withWorld({}, async (world) => {
    const resume = await resumable(world, { fleet: { local_steps: { inner_steps: 2, replicas: 2 } } });
    const error = await assertRejects(() => resume({ on_divergence: "halve_learning_rate" }), LoraFleetError);
    assertEquals(error.param, "training.on_divergence");
  }));

Deno.test("a job whose max_steps leaves no step is refused when it is created, not after its preparation", () =>
  withWorld({}, async (world) => {
    const resume = await resumable(world, {});
    for (const max_steps of [3, 4]) {
      const error = await assertRejects(
        () => resume({ max_steps }),
        LoraFleetError,
        "names step 4, but the job",
      );
      assertEquals(error.param, "training.max_steps");
    }
    assertEquals((await resume({ max_steps: 5 })).spec.resumed_state?.step, 4);
  }));
