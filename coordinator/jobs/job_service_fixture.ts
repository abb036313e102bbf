/** What tests of the job service share. */
import { parseJobRequest } from "../job_request/parse.ts";
import type { World } from "../testing/app_fixture.ts";
import type { JobRecord } from "./record/job.ts";

/** Uploads a training file and submits a job on it. */
export async function submit(world: World, text = "a\nb", fields: object = {}): Promise<JobRecord> {
  const { id } = await world.upload(text);
  return await world.jobs.create(parseJobRequest({ model: "org/tiny", training_file: id, ...fields }));
}

/** Holds the fleet before a step until the test releases it or the job is interrupted. */
export function holdBefore(
  world: World,
  heldStep: number,
): { reached: Promise<string>; release: () => void } {
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
