import { assert, assertEquals, assertMatch } from "@std/assert";
import { parseJobRequest } from "../../job_request/parse.ts";
import { errorOf, withWorld } from "../../testing/app_fixture.ts";
import type { World } from "../../testing/app_fixture.ts";

async function submit(world: World, text = "a\nb"): Promise<string> {
  const { id } = await world.upload(text);
  return (await world.jobs.create(parseJobRequest({ model: "org/tiny", training_file: id }))).id;
}

Deno.test("checkpoints are listed with their metrics", () =>
  withWorld({}, async (world) => {
    const id = await submit(world);
    await world.finished(id);
    const list = await (await world.app.request(`/v1/fine_tuning/jobs/${id}/checkpoints`)).json();
    assertEquals(
      list.data.map((checkpoint: Record<string, unknown>) => ({ ...checkpoint, id: "", created_at: 0 })),
      [
        {
          object: "fine_tuning.job.checkpoint",
          id: "",
          created_at: 0,
          fine_tuned_model_checkpoint: `ft:org/tiny::${id}:ckpt-step-4`,
          fine_tuning_job_id: id,
          step_number: 4,
          metrics: { step: 4, train_loss: 0.5, train_mean_token_accuracy: 0.75 },
        },
        {
          object: "fine_tuning.job.checkpoint",
          id: "",
          created_at: 0,
          fine_tuned_model_checkpoint: `ft:org/tiny::${id}:ckpt-step-2`,
          fine_tuning_job_id: id,
          step_number: 2,
          metrics: { step: 2, train_loss: 1, train_mean_token_accuracy: 0.5 },
        },
      ],
    );
    const second = await world.app.request(`/v1/fine_tuning/jobs/${id}/checkpoints?after=${list.data[0].id}`);
    assertEquals((await second.json()).data, [list.data[1]]);
  }));

Deno.test("artifacts belong to the newest checkpoint or to the requested one", () =>
  withWorld({}, async (world) => {
    const id = await submit(world);
    await world.finished(id);
    const base = `/v1/fine_tuning/jobs/${id}/artifacts`;
    const list = await (await world.app.request(base)).json();
    assertEquals(list.data.map(({ name, step, bytes }: Record<string, unknown>) => [name, step, bytes]), [
      ["adapter_config.json", 4, 10],
      ["adapter_model.safetensors", 4, 28],
    ]);
    const download = await world.app.request(list.data[0].url);
    assertEquals(download.headers.get("etag"), `"${list.data[0].sha256}"`);
    assertEquals(await download.text(), '{"step":4}');
    assertEquals(await (await world.app.request(`${base}/adapter_config.json`)).text(), '{"step":4}');
    assertEquals(await (await world.app.request(`${base}/adapter_config.json?step=2`)).text(), '{"step":2}');
    for (const path of [`${base}/config.json`, `${base}/adapter_config.json?step=3`, `${base}/..%2F..%2Fx`]) {
      assertEquals(await errorOf(await world.app.request(path)), [404, "not_found", "name"]);
    }
    assertEquals(await errorOf(await world.app.request(`${base}?step=0`)), [400, "invalid_request", "step"]);
  }));

Deno.test("unrecorded files on the disk are not artifacts of the job", () =>
  withWorld({}, async (world) => {
    const id = await submit(world);
    await world.finished(id);
    await Deno.mkdir(`${world.folder}/artifacts/${id}/999999`);
    for (const name of ["adapter_config.json", "adapter_model.safetensors"]) {
      await Deno.writeTextFile(`${world.folder}/artifacts/${id}/999999/${name}`, "evil");
      await Deno.writeTextFile(`${world.folder}/artifacts/${id}/999999/${name}.sha256`, "0".repeat(64));
    }
    const base = `/v1/fine_tuning/jobs/${id}/artifacts`;
    assertEquals((await (await world.app.request(base)).json()).data[0].step, 4);
    assertEquals(await (await world.app.request(`${base}/adapter_config.json`)).text(), '{"step":4}');
    const response = await world.app.request(`${base}/adapter_config.json?step=999999`);
    assertEquals(await errorOf(response), [404, "not_found", "name"]);
  }));

Deno.test("a damaged artifact is served neither as a checkpoint nor as a result, and is requested again from a worker", () =>
  withWorld({}, async (world) => {
    const id = await submit(world);
    const { resultFiles } = await world.finished(id);
    const path = `${world.folder}/artifacts/${id}/4/adapter_model.safetensors`;
    const bytes = await Deno.readFile(path);
    bytes[3]! ^= 1;
    await Deno.writeFile(path, bytes);
    const artifact = `/v1/fine_tuning/jobs/${id}/artifacts/adapter_model.safetensors`;
    for (const url of [artifact, `/v1/files/${resultFiles[2]}/content`, artifact]) {
      const response = await world.app.request(url);
      const { error } = await response.json();
      assertEquals([response.status, error.code, error.type], [500, "corrupt", "server_error"], url);
      assertMatch(
        error.message,
        /^"adapter_model\.safetensors" of step 4.* is damaged in the coordinator's data/,
      );
      assert(!error.message.includes(world.folder));
    }
    assertEquals(world.fleet.damaged, [4, 4]);
    assertEquals((await world.app.request(`${artifact}?step=2`)).status, 200);
  }));

Deno.test("an upload altered on the disk is not served", () =>
  withWorld({}, async (world) => {
    const { id } = await world.upload("a row");
    assertEquals(await (await world.app.request(`/v1/files/${id}/content`)).text(), "a row");
    await Deno.writeTextFile(`${world.folder}/files/${id}`, "a cow");
    const response = await world.app.request(`/v1/files/${id}/content`);
    assertEquals((await errorOf(response)).slice(0, 2), [500, "corrupt"]);
  }));

Deno.test("artifacts of a job without any, and of an unknown job", () =>
  withWorld({}, async (world) => {
    const id = await submit(world, "");
    await world.finished(id);
    assertEquals((await (await world.app.request(`/v1/fine_tuning/jobs/${id}/artifacts`)).json()).data, []);
    const download = await world.app.request(`/v1/fine_tuning/jobs/${id}/artifacts/adapter_config.json`);
    assertEquals(await errorOf(download), [404, "not_found", "name"]);
    for (const what of ["events", "checkpoints", "artifacts", "artifacts/adapter_config.json"]) {
      const response = await world.app.request(`/v1/fine_tuning/jobs/ftjob-none/${what}`);
      assertEquals(await errorOf(response), [404, "not_found", "fine_tuning_job_id"]);
    }
  }));
