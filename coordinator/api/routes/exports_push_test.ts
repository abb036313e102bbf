import { assertEquals, assertMatch } from "@std/assert";
import { createHash } from "node:crypto";
import { bytesOf } from "../../../tests/hub/content.ts";
import { startHub, WRITER_TOKEN } from "../../../tests/hub/hub.ts";
import { trainGoldenJob, untilExport } from "../../exports/export_fixture.ts";
import { isIdle } from "../../exports/record/export_record.ts";
import { errorOf, withWorld, type World } from "../../testing/app_fixture.ts";

const send = (world: World, path: string, body: unknown) =>
  world.app.request(path, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body),
  });

/** An adapter with its card, ready to be pushed: the path of the export and its place. */
async function exported(world: World) {
  const jobId = await trainGoldenJob(world);
  const path = `/v1/fine_tuning/jobs/${jobId}/exports`;
  const { id } = await (await send(world, path, { kind: "adapter" })).json();
  await untilExport(world, { jobId, id });
  return { path: `${path}/${id}`, place: { jobId, id } };
}

Deno.test("an export is pushed to a private repository of the hub, with its model card", async () => {
  await using hub = await startHub();
  const settings = { endpoint: hub.endpoint, token: WRITER_TOKEN, offline: false, cacheFolder: "/nowhere" };
  await withWorld({ hub: settings }, async (world) => {
    const { path, place } = await exported(world);
    const first = await (await send(world, `${path}/push`, { hub_model_id: "org/tuned" })).json();
    assertEquals([first.push.hub_private_repo, first.push.hub_revision], [true, "main"]);
    const again = await send(world, `${path}/push`, { hub_model_id: "org/tuned" });
    assertEquals(again.status, 200);
    const other = await send(world, `${path}/push`, { hub_model_id: "org/other" });
    assertEquals(await errorOf(other), [409, "conflict", "hub_model_id"]);
    const { push, files } = await untilExport(world, place, isIdle);
    assertEquals([push?.status, push?.error], ["succeeded", null]);
    const repo = hub.repo("model", "org/tuned");
    assertEquals(push?.commit, repo.resolve("main"));
    for (const { name, sha256 } of files) {
      const bytes = await bytesOf(repo.tree().get(name)!.content);
      assertEquals([name, createHash("sha256").update(bytes).digest("hex")], [name, sha256]);
    }
    const messages = world.messages(place.jobId);
    assertMatch(messages.at(-1)!, /is pushed: http/);
    assertMatch(messages.join("\n"), /^Pushing [\d.]+ kB of org\/tuned\.$/m);
    assertEquals(world.messages(place.jobId).some((message) => message.includes(WRITER_TOKEN)), false);
  });
});

Deno.test("a push without a token, to a bad name, or of what is not there is refused; a hub that refuses is reported", async () => {
  await withWorld({}, async (world) => {
    const { path } = await exported(world);
    const noToken = await errorOf(await send(world, `${path}/push`, { hub_model_id: "org/tuned" }));
    assertEquals(noToken.slice(1), ["unauthorized", "HF_TOKEN"]);
    const badName = await send(world, `${path}/push`, { hub_model_id: "a/b/c" });
    assertEquals(await errorOf(badName), [400, "invalid_request", "hub_model_id"]);
  });
  await using hub = await startHub();
  const settings = { endpoint: hub.endpoint, token: "hf_wrong", offline: false, cacheFolder: "/nowhere" };
  await withWorld({ hub: settings }, async (world) => {
    const { path, place } = await exported(world);
    await send(world, `${path}/push`, { hub_model_id: "org/tuned" });
    const { status, push } = await untilExport(world, place, isIdle);
    assertEquals([status, push?.status, push?.error?.code], ["succeeded", "failed", "unauthorized"]);
  });
});

Deno.test("a push that a stopped coordinator left goes on with the next one", async () => {
  await using hub = await startHub();
  const settings = { endpoint: hub.endpoint, token: WRITER_TOKEN, offline: false, cacheFolder: "/nowhere" };
  await withWorld({ hub: settings }, async (world) => {
    const { path, place } = await exported(world);
    hub.faults.add({ on: /^PUT /, after: 0, times: 99, kind: "slow", pauseMs: 500 });
    await send(world, `${path}/push`, { hub_model_id: "org/tuned" });
    await untilExport(world, place, ({ push }) => push?.status === "running");
    await world.services.exports.stop();
    assertEquals(world.services.exports.get(place.jobId, place.id).push?.status, "running");
    hub.faults.clear();
    await withWorld({ hub: settings, after: world }, async (next) => {
      const { push, files } = await untilExport(next, place, isIdle);
      assertEquals(push?.status, "succeeded");
      assertEquals(files.every(({ name }) => hub.repo("model", "org/tuned").tree().has(name)), true);
    });
  });
});
