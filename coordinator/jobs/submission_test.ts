import { assert, assertEquals, assertRejects, assertStringIncludes, assertThrows } from "@std/assert";
import { LoraFleetError } from "../../shared/errors.ts";
import type { JobSpec } from "../../shared/job/job_spec_schema.ts";
import { parseJobRequest } from "../job_request/parse.ts";
import { withWorld } from "../testing/app_fixture.ts";
import { submit } from "./job_service_fixture.ts";

Deno.test("a request with an unknown model or file is refused without creating a job", () =>
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

Deno.test("a job that does not fit its local base model is refused", () => {
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

Deno.test("a setting that the base model's checkpoint overrides is in the job, with a warning", () => {
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

Deno.test("warnings about a request are events", () =>
  withWorld({}, async (world) => {
    const job = await submit(world, "a", { training: { fp16: true } });
    const warning = world.store.eventsSince(job.id, 0, 9).find(({ level }) => level === "warn");
    assertStringIncludes(warning?.message ?? "", "training.fp16");
    await world.finished(job.id);
  }));
