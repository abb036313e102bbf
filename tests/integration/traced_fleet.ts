/** A coordinator and two workers as processes whose spans, metrics and log are kept. */
import { spawnWorkerProcess } from "../chaos/worker_child.ts";
import { freePort, jobOf, startCoordinatorChild, submitJob, until } from "./coordinator_child.ts";
import { type RecordedSpan, startOtlpRecorder } from "./otlp_recorder.ts";

export interface TracedRun {
  readonly jobId: string;
  readonly spans: readonly RecordedSpan[];
  /** The answer of /metrics after the job. */
  readonly metrics: string;
  /** Lines of the coordinator's log. */
  readonly log: readonly string[];
}

/** @param steps of the job, of four micro-batches each */
export async function traceJob(folder: string, steps: number): Promise<TracedRun> {
  await using recorder = startOtlpRecorder();
  await using children = new AsyncDisposableStack();
  const natsPort = freePort();
  const env = { ...recorder.env("coordinator"), LORAFLEET_LOG_FORMAT: "json" };
  const args = ["--nats-port", String(natsPort)];
  const coordinator = children.use(startCoordinatorChild(`${folder}/data`, args, env));
  const joinUrl = await coordinator.joinUrl();
  for (const name of ["worker-1", "worker-2"]) {
    const child = spawnWorkerProcess({
      ...{ name, joinUrl, natsPort, engine: "toy", gradientMs: 20, factorSize: 64 },
      ...{ cacheFolder: `${folder}/${name}`, env: recorder.env(name) },
    });
    children.defer(async () => {
      child.kill("SIGKILL");
      await Promise.all([child.status, child.stdout.cancel(), child.stderr.cancel()]);
    });
  }
  const api = coordinator.api();
  await until("both workers", async () => (await (await fetch(`${api}/workers`)).json()).data.length === 2);
  const jobId = await submitJob(api, {
    ...{ max_steps: steps, gradient_accumulation_steps: 4, learning_rate: 1e-2 },
  });
  await until("the end of the job", async () => (await jobOf(api, jobId)).status === "succeeded");
  const metrics = await (await fetch(new URL("/metrics", api))).text();
  await until(
    "the last span",
    () => recorder.spans.some(({ name, service }) => name === "checkpoint" && service === "coordinator"),
  );
  return { jobId, spans: recorder.spans, metrics, log: coordinator.stderr().trim().split("\n") };
}
