/** A lying worker and a bad sample over real processes and a real broker, as a user sees them through the API. */
import { assert, assertEquals, assertMatch } from "@std/assert";
import type { Agent } from "../../worker/fleet/agent.ts";
import {
  freePort,
  messagesOf,
  startCoordinatorChild,
  submitJob,
  until,
  withFolder,
} from "./coordinator_child.ts";
import { startToyWorker, type ToyWorkerOptions } from "./toy_worker.ts";

type Spoil = NonNullable<ToyWorkerOptions["spoil"]>;
const TRAINING = {
  ...{ max_steps: 12, gradient_accumulation_steps: 6, learning_rate: 1e-2, save_strategy: "no" },
};
/** Of step 2. */
const BAD_SAMPLE = 8;
const badSample: Spoil = (gradient, number) => void (number === BAD_SAMPLE && gradient.fill(NaN));

Deno.test("the API shows who and what is in quarantine and why, over a restart, and reinstates a worker", () =>
  withFolder(async (folder) => {
    const args = ["--port", String(freePort())];
    await using stack = new AsyncDisposableStack();
    let coordinator = stack.use(startCoordinatorChild(`${folder}/data`, args));
    const joinUrl = await coordinator.joinUrl();
    const api = coordinator.api();
    const agents: Agent[] = [];
    stack.defer(async () => void await Promise.all(agents.map((agent) => agent.stop())));
    const start = (name: string, spoil: Spoil) =>
      agents.push(startToyWorker({ name, joinUrl, cacheFolder: `${folder}/cache`, gradientMs: 10, spoil }));
    const get = async (path: string) => await (await fetch(`${api}${path}`)).json();
    const workerNamed = async (name: string) =>
      (await get("/workers")).data?.find((worker: { name: string; state: string }) =>
        worker.name === name && worker.state !== "lost"
      );
    const finished = async (id: string) => {
      await until(
        "the end of the job",
        async () => (await get(`/fine_tuning/jobs/${id}`)).finished_at !== null,
      );
      return await get(`/fine_tuning/jobs/${id}`);
    };
    const losses = async (id: string) =>
      (await messagesOf(api, id)).filter((message) => /^Step/.test(message));
    const submit = () => submitJob(api, TRAINING, { audit_rate: 1 });

    for (const name of ["one", "two"]) start(name, badSample);
    const honest = await finished(await submit());
    const { passed, failed, skipped } = honest.audits;
    assertEquals([honest.status, failed, skipped], ["succeeded", 0, 0]);
    assert(passed >= 10 * 6, `${passed} audits`);
    const [sample] = honest.quarantined;
    assertEquals([honest.quarantined.length, sample.step, sample.micro_batch], [1, 2, BAD_SAMPLE - 6]);
    assertEquals(sample.workers.length, 2);
    // A line of the 64 that were uploaded, or several where they are packed into one row.
    assert(sample.examples.length > 0 && sample.examples.every((line: number) => line >= 1 && line <= 64));
    assertMatch(
      (await messagesOf(api, honest.id)).join("\n"),
      /Micro-batch 2 of step 2 is excluded \(lines? [\d, ]+ of the training file\): its loss or gradient is not/,
    );

    start("liar", (gradient, number) => {
      badSample(gradient, number);
      gradient[80]! *= 1.001;
    });
    await until("the liar", async () => (await workerNamed("liar"))?.state === "ready");
    const disturbed = await finished(await submit());
    assertEquals([disturbed.status, disturbed.audits], ["succeeded", { passed, failed: 1, skipped: 0 }]);
    assertEquals(await losses(disturbed.id), await losses(honest.id));
    const { id, quarantine } = await workerNamed("liar");
    assertEquals([quarantine.until, quarantine.job_id], ["reinstated", disturbed.id]);
    assertMatch(
      quarantine.reason,
      /its gradient of micro-batch \d of step \d+ has the digest \w+, but .* agree on/,
    );
    assertEquals((await workerNamed("one")).quarantine, null);

    coordinator.kill("SIGTERM");
    await coordinator.ended;
    coordinator = stack.use(startCoordinatorChild(`${folder}/data`, args));
    await coordinator.joinUrl();
    await until("the liar again", async () => (await workerNamed("liar"))?.state === "ready");
    assertEquals((await workerNamed("liar")).quarantine, quarantine);
    const reinstate = () => fetch(`${api}/workers/${id}/reinstate`, { method: "POST" });
    assertEquals(await (await reinstate()).json(), { id, object: "worker", reinstated: true });
    assertEquals((await workerNamed("liar")).quarantine, null);
    const again = await reinstate();
    assertEquals([again.status, (await again.json()).error.code], [404, "not_found"]);
  }));
