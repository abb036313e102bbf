/** What a user of the `openai` package does, from a dataset to an adapter; against any coordinator that is there. */
import { assert, assertEquals } from "@std/assert";
import OpenAI from "openai";
import { toFile } from "openai";

export interface OpenAiRun {
  readonly model: string;
  /** The dataset, JSON lines. */
  readonly dataset: string;
  /** More fields of the job, beyond those that the package knows. */
  readonly fields?: Record<string, unknown>;
  readonly timeoutMs: number;
}

export interface OpenAiResult {
  readonly job: OpenAI.FineTuning.FineTuningJob;
  /** Oldest first. */
  readonly events: readonly OpenAI.FineTuning.FineTuningJobEvent[];
  readonly checkpoints: readonly OpenAI.FineTuning.Jobs.FineTuningJobCheckpoint[];
  /** The result files by their names. */
  readonly files: ReadonlyMap<string, Uint8Array>;
}

/** Upload → create → poll the events → download. Fails where the job does not succeed within the time. */
export async function trainWithOpenAi(client: OpenAI, run: OpenAiRun): Promise<OpenAiResult> {
  const uploaded = await client.files.create({
    file: await toFile(new TextEncoder().encode(run.dataset), "train.jsonl"),
    purpose: "fine-tune",
  });
  assertEquals((await client.files.waitForProcessing(uploaded.id)).status, "processed");

  const body = { model: run.model, training_file: uploaded.id, ...run.fields };
  const created = await client.fineTuning.jobs.create(body);
  assertEquals(created.status, "validating_files");

  const deadline = Date.now() + run.timeoutMs;
  let job = created;
  while (job.status !== "succeeded") {
    assert(!["failed", "cancelled"].includes(job.status), `${job.status}: ${JSON.stringify(job.error)}`);
    assert(Date.now() < deadline, `the job is still ${job.status} after ${run.timeoutMs} ms`);
    await new Promise((resolve) => setTimeout(resolve, 50));
    job = await client.fineTuning.jobs.retrieve(created.id);
  }

  // The package asks for page after page by `after` and `has_more`.
  const events = await Array.fromAsync(client.fineTuning.jobs.listEvents(job.id, { limit: 3 }));
  const checkpoints = await Array.fromAsync(client.fineTuning.jobs.checkpoints.list(job.id, { limit: 1 }));
  const files = new Map<string, Uint8Array>();
  for (const id of job.result_files) {
    const { filename, bytes } = await client.files.retrieve(id);
    const content = new Uint8Array(await (await client.files.content(id)).arrayBuffer());
    assertEquals(content.byteLength, bytes);
    files.set(filename, content);
  }
  return { job, events: events.toReversed(), checkpoints, files };
}
