/** A world with a job that has trained a golden adapter on its golden base model. */
import { basename } from "@std/path";
import type { LoraSpec } from "../../shared/job/job_spec_schema.ts";
import { goldenPath, type LadderCaseName, loadLadderCase } from "../../tests/golden/golden.ts";
import { parseJobRequest } from "../job_request/parse.ts";
import type { World } from "../testing/app_fixture.ts";
import type { ExportRecord } from "./record/export_record.ts";
import { isEnded } from "./record/export_record.ts";

export const GOLDEN_CASE = "gqa_tied";

/** A base model with its tokenizer, and an adapter for it. */
export interface GoldenJob {
  readonly modelFolder: string;
  /** Of files that the model's folder lacks. */
  readonly tokenizerFolder: string;
  readonly adapterFolder: string;
  readonly lora: LoraSpec;
  readonly doubleQuantization: boolean;
}

export function ladderJob(name: LadderCaseName): GoldenJob {
  return { ...loadLadderCase(name), tokenizerFolder: goldenPath("data/byte_fallback") };
}

/** Trains the job with the fake fleet, whose checkpoints are PEFT's own. Returns its id. */
export async function trainGoldenJob(
  world: World,
  more: object = {},
  golden = ladderJob(GOLDEN_CASE),
): Promise<string> {
  const { modelFolder, tokenizerFolder, adapterFolder, lora, doubleQuantization } = golden;
  const folder = `${world.folder}/models/org/golden`;
  await Deno.mkdir(folder, { recursive: true });
  const names = ["tokenizer.json", "tokenizer_config.json"].map((name) => `${tokenizerFolder}/${name}`);
  for await (const { name } of Deno.readDir(modelFolder)) names.push(`${modelFolder}/${name}`);
  for (const path of names) await Deno.copyFile(path, `${folder}/${basename(path)}`);
  const files = await Promise.all(
    ["adapter_config.json", "adapter_model.safetensors"].map(async (name) =>
      [name, await Deno.readFile(`${adapterFolder}/${name}`)] as const
    ),
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
