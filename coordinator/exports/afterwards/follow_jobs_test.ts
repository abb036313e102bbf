import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import { startHub, WRITER_TOKEN } from "../../../tests/hub/hub.ts";
import { LoraFleetError } from "../../../shared/errors.ts";
import { withWorld, type World, type WorldOptions } from "../../testing/app_fixture.ts";
import { ladderJob, trainGoldenJob, untilExport } from "../export_fixture.ts";
import { type ExportRecord, isEnded, isIdle } from "../record/export_record.ts";
import { followJobs } from "./follow_jobs.ts";

const pushed = { push_to_hub: true, hub_model_id: "org/tuned" };
const exportsOf = (world: World, jobId: string): readonly ExportRecord[] =>
  world.services.exports.list(jobId).toReversed();

async function withHub(
  body: (options: WorldOptions, hub: Awaited<ReturnType<typeof startHub>>) => Promise<void>,
) {
  await using hub = await startHub();
  const settings = { endpoint: hub.endpoint, token: WRITER_TOKEN, offline: false, cacheFolder: "/nowhere" };
  await body({ hub: settings }, hub);
}

Deno.test("a job that has succeeded queues its exports and its push by itself", () =>
  withHub((options, hub) =>
    withWorld(options, async (world) => {
      const jobId = await trainGoldenJob(world, { exports: ["adapter_gguf"], training: pushed });
      const [gguf, adapter] = exportsOf(world, jobId);
      assertEquals([gguf!.request.kind, adapter!.request.kind], ["adapter_gguf", "adapter"]);
      const { push } = await untilExport(world, adapter!, isIdle);
      assertEquals([push!.status, push!.error], ["succeeded", null]);
      assertEquals(hub.repo("model", "org/tuned").isPrivate, true);
      assertEquals((await untilExport(world, gguf!, isEnded)).status, "succeeded");
      assertMatch(
        world.messages(jobId).join("\n"),
        /What follows the job is queued: adapter_gguf \(ftexport-\w+\), adapter \(ftexport-\w+\), the push of ftexport-\w+ to org\/tuned\./,
      );
    })
  ));

Deno.test("the export that the job asks for is the one that is pushed", () =>
  withHub((options, hub) =>
    withWorld(options, async (world) => {
      const training = { ...pushed, hub_kind: "merged", hub_private_repo: false };
      const jobId = await trainGoldenJob(world, {
        exports: [{ kind: "merged", dtype: "float16" }],
        training,
      });
      const [merged, ...others] = exportsOf(world, jobId);
      assertEquals([merged!.request.dtype, others], ["float16", []]);
      await untilExport(world, merged!, isIdle);
      const repo = hub.repo("model", "org/tuned");
      assertEquals([repo.isPrivate, repo.tree().has("model.safetensors")], [false, true]);
    })
  ));

Deno.test("a push that fails does not fail the job, is told, and can be asked for again", () =>
  withHub((options, hub) =>
    withWorld(options, async (world) => {
      const foreign = { training: { ...pushed, hub_model_id: "foreign/tuned" } };
      const refused = await assertRejects(
        () => trainGoldenJob(world, foreign),
        LoraFleetError,
        "may not write",
      );
      assertEquals(refused.param, "training.hub_model_id");
      // A hub that does not answer at the submission refuses only the push.
      hub.faults.add({ on: /whoami/, kind: "status", status: 503 });
      const jobId = await trainGoldenJob(world, foreign);
      const [adapter] = exportsOf(world, jobId);
      const { push, status } = await untilExport(world, adapter!, isIdle);
      assertEquals([status, push!.status, world.jobs.get(jobId).status], [
        "succeeded",
        "failed",
        "succeeded",
      ]);
      assertMatch(world.messages(jobId).at(-1)!, /^Export ftexport-\w+ is not pushed: /);
      world.services.exports.push(jobId, adapter!.id, { hub_model_id: "org/again" });
      assertEquals((await untilExport(world, adapter!, isIdle)).push!.status, "succeeded");
      assert(hub.repo("model", "org/again").tree().has("adapter_model.safetensors"));
    })
  ));

Deno.test("an export that fails takes its push along", () =>
  withHub((options) =>
    withWorld({
      ...options,
      runExport: () => Promise.reject(new LoraFleetError("storage", "the disk is full")),
    }, async (world) => {
      const jobId = await trainGoldenJob(world, { training: pushed });
      const [adapter] = exportsOf(world, jobId);
      const { push } = await untilExport(world, adapter!, isIdle);
      assertEquals([push!.status, push!.error!.message], ["failed", "its export failed: the disk is full"]);
    })
  ));

Deno.test("a coordinator that ended between the job's success and its exports queues them at the next start, once", () =>
  withHub((options) =>
    withWorld(options, async (world) => {
      const jobId = await trainGoldenJob(world, { exports: ["adapter"] });
      const { afterwards } = world.jobs.get(jobId);
      assertEquals(afterwards!.isQueued, true);
      const [made] = exportsOf(world, jobId);
      await world.services.exports.remove(jobId, made!.id);
      const restart = () => {
        const { store, services: { exports } } = world;
        followJobs({ ...world.jobs, start: () => {} }, { store, exports, onDefect: () => {} }).start();
      };
      restart();
      assertEquals(exportsOf(world, jobId), [], "what a user has deleted stays deleted");
      world.store.putJob({ ...world.jobs.get(jobId), afterwards: { ...afterwards!, isQueued: false } }, []);
      restart();
      restart();
      assertEquals(exportsOf(world, jobId).map(({ request }) => request.kind), ["adapter"]);
    })
  ));

Deno.test("exports and pushes that cannot be are refused with the job", () =>
  withWorld({}, async (world) => {
    const refused = async (more: object) =>
      (await assertRejects(() => trainGoldenJob(world, more), LoraFleetError)).param;
    assertEquals(
      await refused({ exports: [{ kind: "merged", quantization: "F16" }] }),
      "exports[0].quantization",
    );
    assertEquals(await refused({ exports: ["onnx"] }), "exports[0].kind");
    assertEquals(await refused({ training: pushed }), "HF_TOKEN");
  }));

Deno.test("a form that the base model cannot have is refused with the job", () =>
  withHub((options) =>
    withWorld(options, async (world) => {
      const refused = async (more: object) => {
        const job = trainGoldenJob(world, more, ladderJob("gemma2_caps"));
        const { param, message } = await assertRejects(() => job, LoraFleetError);
        assertMatch(message, /GGUF is not possible for this model/);
        return param;
      };
      assertEquals(await refused({ exports: ["gguf"] }), "exports[0].kind");
      assertEquals(await refused({ training: { ...pushed, hub_kind: "gguf" } }), "training.hub_kind");
    })
  ));
