import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { createHash } from "node:crypto";
import { openSafetensors } from "../../../shared/checkpoint/safetensors.ts";
import { LoraFleetError } from "../../../shared/errors.ts";
import { goldenPath } from "../../../tests/golden/golden.ts";
import { GOLDEN_CASE, trainGoldenJob, untilExport } from "../../exports/export_fixture.ts";
import type { RunExport } from "../../exports/process/export_child.ts";
import { errorOf, withWorld, type World } from "../../testing/app_fixture.ts";

const GOLDEN = JSON.parse(Deno.readTextFileSync(goldenPath("exports/merge.json")))[GOLDEN_CASE];

const post = (world: World, jobId: string, body: unknown) =>
  world.app.request(`/v1/fine_tuning/jobs/${jobId}/exports`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body),
  });

const DRIFT = {
  ...{ rows: 40, tokens: 400, logit_mean_abs: 0.001, logit_max_abs: 0.25, kl_mean: 1e-6, top1_agreement: 1 },
  ...{ exact_match_trained: 0.975, exact_match_merged: 0.95, same_rows: 0.9 },
};

/** An export that writes nothing until it is released. */
function heldExport() {
  const released = Promise.withResolvers<void>();
  const run: RunExport = async ({ outputFolder }, { signal, onMessage }) => {
    onMessage({ type: "planned", bytes: 100 });
    await Deno.writeTextFile(`${outputFolder}/part`, "half");
    onMessage({ type: "progress", bytes: 50 });
    const aborted = Promise.withResolvers<never>();
    signal.addEventListener("abort", () => aborted.reject(signal.reason));
    await Promise.race([released.promise, aborted.promise]);
    return [{ name: "part", size: 4, sha256: "00" }];
  };
  return { run, release: () => released.resolve() };
}

Deno.test("a merged model is written by a process of its own and downloaded file by file", () =>
  withWorld({}, async (world) => {
    const jobId = await trainGoldenJob(world);
    const created = await (await post(world, jobId, { kind: "merged" })).json();
    assertEquals([created.status, created.base, created.dtype, created.step_number], [
      "running",
      "nf4",
      null,
      4,
    ]);
    const record = await untilExport(world, { jobId, id: created.id });
    assertEquals([record.status, record.error], ["succeeded", null]);

    const files = await (await world.app.request(`/v1/fine_tuning/jobs/${jobId}/exports/${created.id}/files`))
      .json();
    assertEquals(files.data.map(({ name }: { name: string }) => name), [
      "README.md",
      "config.json",
      "generation_config.json",
      "model.safetensors",
      "tokenizer.json",
      "tokenizer_config.json",
    ]);
    for (const { name, bytes, sha256, url } of files.data) {
      const body = new Uint8Array(await (await world.app.request(url)).arrayBuffer());
      assertEquals([name, body.length], [name, bytes]);
      assertEquals(createHash("sha256").update(body).digest("hex"), sha256);
    }
    const stored = openSafetensors(`${world.folder}/exports/${created.id}/model.safetensors`);
    for (const [name, hashes] of Object.entries<string>(GOLDEN.tensors)) {
      // The third of four is that of the merge into the NF4 base, in the stored type.
      const sha256 = hashes.split(" ")[2]!;
      assertEquals([name, createHash("sha256").update(stored.read(name)).digest("hex").slice(0, 16)], [
        name,
        sha256,
      ]);
    }
    const card = await Deno.readTextFile(`${world.folder}/exports/${created.id}/README.md`);
    assertMatch(card, /^---\nlibrary_name: transformers\n/);
    assertMatch(card, /# golden-spelling/);
    assertMatch(card, /\| last training loss \| 0\.5000 \|/);
    const said = world.messages(jobId).filter((message) => message.startsWith("Export"));
    assertMatch(said[0]!, /^Export ftexport-\w+ \(merged\) has begun, from step 4\.$/);
    assert(said.some((message) => /is done: 6 files, \d+ bytes\.$/.test(message)), said.join("\n"));
  }));

Deno.test("the same request is the same export; a different one waits for its turn", () => {
  const held = heldExport();
  return withWorld({ runExport: held.run }, async (world) => {
    const jobId = await trainGoldenJob(world);
    const first = await (await post(world, jobId, { kind: "merged", base: "nf4" })).json();
    const second = await (await post(world, jobId, { kind: "merged", base: "original" })).json();
    const again = await (await post(world, jobId, { kind: "merged", step: 4 })).json();
    assertEquals([again.id, second.id === first.id], [first.id, false]);
    assertEquals(second.status, "queued");
    const running = { jobId, id: first.id };
    await untilExport(world, running, ({ bytesDone }) => bytesDone === 50);
    const early = await world.app.request(`/v1/fine_tuning/jobs/${jobId}/exports/${first.id}/files/part`);
    assertEquals(await errorOf(early), [409, "conflict", "export_id"]);
    held.release();
    for (const id of [first.id, second.id]) {
      assertEquals((await untilExport(world, { jobId, id })).status, "succeeded");
    }
    const list = await (await world.app.request(`/v1/fine_tuning/jobs/${jobId}/exports`)).json();
    assertEquals(list.data.map(({ id }: { id: string }) => id), [second.id, first.id]);
  });
});

Deno.test("a deleted export is stopped, and its files are gone", () => {
  const held = heldExport();
  return withWorld({ runExport: held.run }, async (world) => {
    const jobId = await trainGoldenJob(world);
    const { id } = await (await post(world, jobId, { kind: "merged" })).json();
    await untilExport(world, { jobId, id }, ({ bytesDone }) => bytesDone === 50);
    const path = `/v1/fine_tuning/jobs/${jobId}/exports/${id}`;
    assertEquals((await (await world.app.request(path, { method: "DELETE" })).json()).deleted, true);
    assertEquals(await Array.fromAsync(Deno.readDir(`${world.folder}/exports`)), []);
    assertEquals(await errorOf(await world.app.request(path)), [404, "not_found", "export_id"]);
  });
});

Deno.test("the same request while its export is being deleted begins a new one", () => {
  const held = heldExport();
  return withWorld({ runExport: held.run }, async (world) => {
    const jobId = await trainGoldenJob(world);
    const { id } = await (await post(world, jobId, { kind: "merged" })).json();
    await untilExport(world, { jobId, id }, ({ bytesDone }) => bytesDone === 50);
    const removed = world.services.exports.remove(jobId, id);
    const { id: next } = world.services.exports.create(jobId, { kind: "merged" });
    assertEquals(next === id, false);
    await removed;
    held.release();
    assertEquals((await untilExport(world, { jobId, id: next })).status, "succeeded");
  });
});

Deno.test("an export that is deleted while its drift is stored does not come back", () =>
  withWorld({}, async (world) => {
    const jobId = await trainGoldenJob(world);
    const { id } = await (await post(world, jobId, { kind: "merged" })).json();
    await untilExport(world, { jobId, id });
    const { exports } = world.services;
    const stored = exports.setDrift(jobId, id, DRIFT);
    const [drift] = await Promise.allSettled([stored, exports.remove(jobId, id)]);
    assertEquals(drift.status, "rejected");
    assertEquals([exports.list(jobId), await Array.fromAsync(Deno.readDir(`${world.folder}/exports`))], [
      [],
      [],
    ]);
  }));

const REFUSED: readonly (readonly [body: unknown, status: number, code: string, param: string])[] = [
  [{ kind: "onnx" }, 400, "invalid_request", "kind"],
  [{ kind: "adapter", base: "nf4" }, 400, "invalid_request", "base"],
  [{ kind: "merged", quantisation: "Q8_0" }, 400, "invalid_request", "quantisation"],
  [{ kind: "merged", step: 3 }, 400, "invalid_request", "step"],
  [[], 400, "invalid_request", "body"],
];

Deno.test("a request that cannot be met is refused by its field", () =>
  withWorld({ runExport: heldExport().run }, async (world) => {
    const jobId = await trainGoldenJob(world);
    for (const [body, ...expected] of REFUSED) {
      assertEquals(await errorOf(await post(world, jobId, body)), expected);
    }
    assertEquals((await errorOf(await post(world, "ftjob-none", { kind: "merged" })))[0], 404);
    const messageOf = async (body: unknown) => (await (await post(world, jobId, body)).json()).error.message;
    assertEquals(
      await messageOf({ kind: "gguf", quantization: "Q4_K_M" }),
      'the export is refused: quantization is "Q4_K_M"; one of "F32", "F16", "Q8_0" is needed',
    );
    assertStringIncludes(
      await messageOf({ kind: "merged", quantisation: "F16" }),
      'no field "quantisation"; there are',
    );
  }));

Deno.test("a base model that has changed since the training is refused", () =>
  withWorld({}, async (world) => {
    const jobId = await trainGoldenJob(world);
    await Deno.writeTextFile(`${world.folder}/models/org/golden/tokenizer_config.json`, '{"changed": true}');
    const { id } = await (await post(world, jobId, { kind: "merged" })).json();
    const { error } = await untilExport(world, { jobId, id });
    assertEquals([error?.code, error?.param], ["conflict", "model"]);
    assertMatch(
      error!.message,
      /has changed since the job was trained: the SHA-256 of its files is [0-9a-f]{64}/,
    );
  }));

Deno.test("a failure is reported with the bytes needed, leaves no file, and the request may be repeated", () => {
  let calls = 0;
  const run: RunExport = async ({ outputFolder }, { onMessage }) => {
    onMessage({ type: "planned", bytes: 1000 });
    await Deno.writeTextFile(`${outputFolder}/part`, "half");
    if (calls++ > 0) return [{ name: "part", size: 4, sha256: "00" }];
    throw new LoraFleetError("storage", `Writing "part" failed: the disk is full in ${outputFolder}`);
  };
  return withWorld({ runExport: run }, async (world) => {
    const jobId = await trainGoldenJob(world);
    const { id } = await (await post(world, jobId, { kind: "merged" })).json();
    await untilExport(world, { jobId, id });
    const view = await (await world.app.request(`/v1/fine_tuning/jobs/${jobId}/exports/${id}`)).json();
    assertEquals([view.status, view.bytes_total, view.error.code], ["failed", 1000, "storage"]);
    assert(!view.error.message.includes(world.folder), view.error.message);
    const left = (await Array.fromAsync(Deno.readDir(`${world.folder}/exports`))).map(({ name }) => name);
    assertEquals(left, [`${id}.json`]);
    const event = world.store.events(jobId, { after: null, limit: 1 }).items[0]!;
    assertEquals([event.level, event.data?.["bytes_needed"]], ["error", 1000]);

    const again = await (await post(world, jobId, { kind: "merged" })).json();
    assertEquals([again.id === id, (await untilExport(world, { jobId, id: again.id })).status], [
      false,
      "succeeded",
    ]);
  });
});

Deno.test("an export that a stopped coordinator left begins again, and half-written files are gone", () => {
  const held = heldExport();
  return withWorld({ runExport: held.run }, async (world) => {
    const jobId = await trainGoldenJob(world);
    const { id } = await (await post(world, jobId, { kind: "merged" })).json();
    await untilExport(world, { jobId, id }, ({ bytesDone }) => bytesDone === 50);
    await world.services.exports.stop();
    // As a killed process leaves them.
    await Deno.mkdir(`${world.folder}/exports/${id}.partial`);
    await Deno.writeTextFile(`${world.folder}/exports/${id}.partial/model.safetensors`, "half");
    await Deno.mkdir(`${world.folder}/exports/ftexport-unknown`);
    await withWorld({ after: world }, async (next) => {
      const record = await untilExport(next, { jobId, id });
      assertEquals([record.status, record.files.length], ["succeeded", 6]);
      const left = (await Array.fromAsync(Deno.readDir(`${world.folder}/exports`))).map(({ name }) => name)
        .sort();
      assertEquals(left, [id, `${id}.json`]);
    });
  });
});

Deno.test("a measured drift is in the result and in the model card, once", () =>
  withWorld({}, async (world) => {
    const jobId = await trainGoldenJob(world);
    const { id } = await (await post(world, jobId, { kind: "merged" })).json();
    await untilExport(world, { jobId, id });
    const put = (body: unknown) =>
      world.app.request(`/v1/fine_tuning/jobs/${jobId}/exports/${id}/drift`, {
        method: "PUT",
        headers: { "content-type": "application/json" },
        body: JSON.stringify(body),
      });
    await put({ ...DRIFT, exact_match_merged: 0.5 });
    const view = await (await put(DRIFT)).json();
    assertEquals(view.drift, DRIFT);
    const file = view.files.find(({ name }: { name: string }) => name === "README.md");
    const card = new Uint8Array(await (await world.app.request(file.url)).arrayBuffer());
    assertEquals(createHash("sha256").update(card).digest("hex"), file.sha256);
    const text = new TextDecoder().decode(card);
    assertEquals(text.split("## How close it is to the trained model").length, 2);
    assertMatch(text, /\| rows answered exactly by this model \| 95\.0% \|/);
    assertEquals(await errorOf(await put({ ...DRIFT, rows: 0 })), [400, "invalid_request", "rows"]);
    const adapter = await (await post(world, jobId, { kind: "adapter" })).json();
    await untilExport(world, { jobId, id: adapter.id });
    const path = `/v1/fine_tuning/jobs/${jobId}/exports/${adapter.id}/drift`;
    const headers = { "content-type": "application/json" };
    const refused = await world.app.request(path, { method: "PUT", headers, body: JSON.stringify(DRIFT) });
    assertEquals(await errorOf(refused), [409, "conflict", "export_id"]);
  }));

Deno.test("GGUF of the merged model and of the adapter, each with its Modelfile and card", () =>
  withWorld({}, async (world) => {
    const jobId = await trainGoldenJob(world);
    const kinds = [["gguf", "Q8_0", "golden-spelling-Q8_0.gguf"], [
      "adapter_gguf",
      "F16",
      "golden-spelling-lora-F16.gguf",
    ]];
    for (const [kind, quantization, filename] of kinds) {
      const { id } = await (await post(world, jobId, { kind, quantization })).json();
      const { files, error } = await untilExport(world, { jobId, id });
      assertEquals([error, files.map(({ name }) => name)], [null, ["Modelfile", "README.md", filename!]]);
      const folder = `${world.folder}/exports/${id}`;
      const bytes = await Deno.readFile(`${folder}/${filename}`);
      assertEquals([new TextDecoder().decode(bytes.subarray(0, 4)), bytes[4]], ["GGUF", 3]);
      const modelfile = await Deno.readTextFile(`${folder}/Modelfile`);
      assert(modelfile.includes(`./${filename}`), modelfile);
      assertMatch(await Deno.readTextFile(`${folder}/README.md`), /library_name: llama\.cpp/);
    }
    const refused = await post(world, jobId, { kind: "adapter_gguf", quantization: "Q8_0" });
    assertEquals(await errorOf(refused), [400, "invalid_request", "quantization"]);
  }));
