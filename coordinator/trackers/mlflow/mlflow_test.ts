import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import { LoraFleetError } from "../../../shared/errors.ts";
import { submit } from "../../jobs/job_service_fixture.ts";
import { withWorld } from "../../testing/app_fixture.ts";
import { startFakeMlflow } from "./mlflow_fixture.ts";

const TRAINING = { report_to: "mlflow", run_name: "a run" };

async function until(condition: () => boolean): Promise<void> {
  for (let turn = 0; turn < 1000; turn++) {
    if (condition()) return;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  throw new Error("it did not happen in 10 s");
}

Deno.test("a job's run is at MLflow: its name, hyperparameters, points and state", async () => {
  await using mlflow = startFakeMlflow();
  mlflow.token = "a-good-token";
  const environment = { MLFLOW_TRACKING_URI: `${mlflow.url}/`, MLFLOW_TRACKING_TOKEN: "a-good-token" };
  await withWorld({ environment }, async (world) => {
    const { id } = await submit(world, "a\nb", { training: TRAINING });
    await world.finished(id);
    await until(() => mlflow.runs[0]?.status === "FINISHED");
    const [run] = mlflow.runs;
    assertEquals([run!.name, run!.jobId, run!.params.get("lora.r")], ["a run", id, "8"]);
    assertEquals([1, 2, 3, 4].map((step) => mlflow.metrics.get(`run-0 loss ${step}`)), [2, 1, 2 / 3, 0.5]);
    assertMatch(
      world.messages(id).join("\n"),
      /MLflow at http:\/\/127.* shows this run: .*experiments\/7\/runs\/run-0\./,
    );
  });
});

Deno.test("an MLflow server that is down neither stops nor slows a job, and gets its points when it is back", async () => {
  await using mlflow = startFakeMlflow();
  await withWorld({ environment: { MLFLOW_TRACKING_URI: mlflow.url } }, async (world) => {
    mlflow.isDown = true;
    const { id } = await submit(world, "a\nb\nc", { training: TRAINING });
    assertEquals((await world.finished(id)).status, "succeeded");
    await until(() => mlflow.requests >= 3);
    mlflow.isDown = false;
    await until(() => mlflow.runs[0]?.status === "FINISHED");
    const steps = [1, 2, 3, 4, 5, 6];
    assertEquals(
      steps.map((step) => mlflow.metrics.get(`run-0 loss ${step}`)),
      steps.map((step) => 2 / step),
    );
    await until(() => world.messages(id).some((message) => message.includes("takes points again")));
    const failures = world.messages(id).filter((message) => message.includes("takes no points"));
    assertEquals(failures.length, 1);
    assertMatch(
      failures[0]!,
      /answers HTTP 503: <html>down<\/html>\. The job continues; they are sent later\.$/,
    );
  });
});

Deno.test("points that waited for MLflow are sent by the next coordinator", async () => {
  await using mlflow = startFakeMlflow();
  const environment = { MLFLOW_TRACKING_URI: mlflow.url };
  await withWorld({ environment }, async (first) => {
    mlflow.isDown = true;
    const { id } = await submit(first, "a\nb", { training: TRAINING });
    await first.finished(id);
    await until(() => mlflow.requests >= 2);
    await first.jobs.stop();
    mlflow.isDown = false;
    await withWorld({ environment, after: first }, async (second) => {
      second.jobs.start();
      await until(() => mlflow.runs[0]?.status === "FINISHED");
      assertEquals([mlflow.runs.length, mlflow.metrics.get("run-0 loss 4")], [1, 0.5]);
    });
  });
});

Deno.test("a wrong key is refused at submission, without showing it; a server that is down is not", async () => {
  await using mlflow = startFakeMlflow();
  mlflow.token = "the-right-token";
  const environment = { MLFLOW_TRACKING_URI: mlflow.url, MLFLOW_TRACKING_TOKEN: "the-wrong-token" };
  await withWorld({ environment }, async (world) => {
    const error = await assertRejects(() => submit(world, "a", { training: TRAINING }), LoraFleetError);
    assertEquals([error.code, error.param], ["invalid_request", "training.report_to"]);
    assertMatch(error.message, /refuses the key \(HTTP 401\); correct MLFLOW_TRACKING_TOKEN/);
    assert(!error.message.includes("the-wrong-token"));
    assertEquals(world.store.jobs({ after: null, limit: 10 }).items, []);
    mlflow.isDown = true;
    await submit(world, "a", { training: TRAINING });
  });
});

Deno.test("an address that is not HTTP is refused with what is needed", () =>
  withWorld({ environment: { MLFLOW_TRACKING_URI: "databricks" } }, async (world) => {
    await assertRejects(
      () => submit(world, "a", { training: TRAINING }),
      LoraFleetError,
      "MLFLOW_TRACKING_URI of the coordinator begins with neither http:// nor https://",
    );
  }));
