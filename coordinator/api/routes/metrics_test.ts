import { assert, assertEquals } from "@std/assert";
import { parseJobRequest } from "../../job_request/parse.ts";
import { errorOf, withWorld, type World } from "../../testing/app_fixture.ts";

/** Values by series, without the histograms' buckets. */
async function scrape({ app }: World, headers: HeadersInit = {}): Promise<Readonly<Record<string, number>>> {
  const answer = await app.request("/metrics", { headers });
  assertEquals(answer.headers.get("content-type"), "text/plain; version=0.0.4; charset=utf-8");
  const lines = (await answer.text()).split("\n").filter((line) => line !== "" && !line.startsWith("#"));
  return Object.fromEntries(
    lines.filter((line) => !line.includes("_bucket{")).map((line) => {
      const [, name, value] = /^lorafleet_(.+) (\S+)$/.exec(line)!;
      return [name!, Number(value)];
    }),
  );
}

Deno.test("metrics of a job: its steps, its data's preparation, its status, its worker", () =>
  withWorld({}, async (world) => {
    const before = await scrape(world);
    assertEquals([before["steps_committed_total"], before['jobs{status="queued"}']], [0, 0]);
    const { id } = await world.upload("a\nb");
    world.fleet.excluded.set(2, { index: 0, workers: ["w1"] });
    const job = await world.jobs.create(parseJobRequest({ model: "org/tiny", training_file: id }));
    await world.finished(job.id);
    const after = await scrape(world);
    const expected = {
      steps_committed_total: 4,
      step_attempts_discarded_total: 0,
      micro_batches_excluded_total: 1,
      trained_tokens_total: 400,
      trained_labels_total: 240,
      allreduce_bytes_total: 4 * 2048,
      checkpoints_written_total: 2,
      step_duration_seconds_count: 4,
      step_duration_seconds_sum: 2,
      training_loss: 0.5,
      gradient_norm: 0.5,
      step_workers: 2,
      preparations_running: 0,
      'preparation_duration_seconds_count{outcome="succeeded"}': 1,
      'jobs{status="succeeded"}': 1,
      'jobs{status="running"}': 0,
      'workers{state="ready"}': 1,
      'workers{state="lost"}': 0,
      workers_quarantined: 0,
      'worker_tokens_per_second{worker="w1",name="pc",gpu="a GPU"}': 1000,
      'worker_gpu_resets{worker="w1",name="pc",gpu="a GPU"}': 1,
      'worker_gpu_memory_bytes{worker="w1",name="pc",gpu="a GPU",part="planned"}': 3 * 2 ** 30,
      'worker_gpu_memory_bytes{worker="w1",name="pc",gpu="a GPU",part="budget"}': 8 * 2 ** 30,
    };
    const found = Object.fromEntries(Object.keys(expected).map((name) => [name, after[name]]));
    assertEquals(found, expected);
  }));

Deno.test("requests are counted by route and status, never by path", () =>
  withWorld({}, async (world) => {
    const paths = [
      "/healthz",
      "/v1/fine_tuning/jobs/ftjob-1",
      "/v1/fine_tuning/jobs/ftjob-2",
      "/x/1",
      "/x/2",
    ];
    for (const path of paths) await world.app.request(path);
    const values = await scrape(world);
    const requests = Object.entries(values).filter(([name]) => name.startsWith("http_requests_total"));
    assertEquals(Object.fromEntries(requests), {
      'http_requests_total{method="GET",route="/healthz",status="200"}': 1,
      'http_requests_total{method="GET",route="/v1/fine_tuning/jobs/:id",status="404"}': 2,
      'http_requests_total{method="any",route="none",status="404"}': 2,
    });
    assertEquals(values['http_request_duration_seconds_count{method="GET",route="/healthz"}'], 1);
  }));

Deno.test("metrics need an API key where there are keys", () =>
  withWorld({ apiKeys: ["secret"] }, async (world) => {
    assertEquals(await errorOf(await world.app.request("/metrics")), [401, "unauthorized", null]);
    const values = await scrape(world, { authorization: "Bearer secret" });
    assert(values['http_requests_total{method="GET",route="/metrics",status="401"}'] === 1);
  }));

Deno.test("a preparation that fails is counted as such", () =>
  withWorld({ prepare: () => Promise.reject(new Error("no rows")) }, async (world) => {
    const { id } = await world.upload("a");
    const job = await world.jobs.create(parseJobRequest({ model: "org/tiny", training_file: id }));
    await world.finished(job.id);
    const values = await scrape(world);
    assertEquals(values['preparation_duration_seconds_count{outcome="failed"}'], 1);
    assertEquals(values['jobs{status="failed"}'], 1);
  }));
