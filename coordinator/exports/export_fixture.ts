/** A world with a job that has trained a golden adapter on its golden base model. */
import { goldenPath, loadLadderCase } from "../../tests/golden/golden.ts";
import { parseJobRequest } from "../job_request/parse.ts";
import type { World } from "../testing/app_fixture.ts";
import type { ExportRecord } from "./record/export_record.ts";
import { isEnded } from "./record/export_record.ts";

export const GOLDEN_CASE = "gqa_tied";

/** Trains the job with the fake fleet, whose checkpoints are PEFT's own. Returns its id. */
export async function trainGoldenJob(world: World, more: object = {}): Promise<string> {
  const { modelFolder, adapterFolder, lora, doubleQuantization } = loadLadderCase(GOLDEN_CASE);
  const folder = `${world.folder}/models/org/golden`;
  await Deno.mkdir(folder, { recursive: true });
  for await (const { name } of Deno.readDir(modelFolder)) {
    await Deno.copyFile(`${modelFolder}/${name}`, `${folder}/${name}`);
  }
  for (const name of ["tokenizer.json", "tokenizer_config.json"]) {
    await Deno.copyFile(goldenPath(`data/byte_fallback/${name}`), `${folder}/${name}`);
  }
  const names = ["adapter_config.json", "adapter_model.safetensors"];
  const files = await Promise.all(
    names.map(async (name) => [name, await Deno.readFile(`${adapterFolder}/${name}`)] as const),
  );
  world.fleet.adapterFiles = () => files;
  const { id } = await world.upload("a\nb");
  const quantization = { bnb_4bit_use_double_quant: doubleQuantization };
  const body = { model: "org/golden", training_file: id, suffix: "spelling", lora, quantization, ...more };
  const job = await world.jobs.create(parseJobRequest(body));
  await world.finished(job.id);
  return job.id;
}

/** Resolves once the export satisfies the condition; each change of it is an event of its job. */
export async function untilExport(
  world: World,
  { jobId, id }: Pick<ExportRecord, "jobId" | "id">,
  condition: (record: ExportRecord) => boolean = isEnded,
): Promise<ExportRecord> {
  for (;;) {
    const changed = Promise.withResolvers<void>();
    const unwatch = world.jobs.watch(jobId, () => changed.resolve());
    const record = world.services.exports.get(jobId, id);
    if (!condition(record)) await changed.promise;
    unwatch();
    if (condition(record)) return record;
  }
}
