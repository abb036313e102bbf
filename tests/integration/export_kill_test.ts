/** A coordinator that is killed while it exports: the next one writes the export anew, and nothing half-written stays. */
import { assert, assertEquals } from "@std/assert";
import { openSafetensors } from "../../shared/checkpoint/safetensors.ts";
import { processesOf } from "./command_child.ts";
import { freePort, startCoordinatorChild, until, withFolder } from "./coordinator_child.ts";
import { toyFile, writeToyModel } from "./toy_model.ts";
import { startToyWorker } from "./toy_worker.ts";

const JSON_HEADERS = { "content-type": "application/json" };

Deno.test("kill the coordinator during an export: it begins again at the next start, and is whole", () =>
  withFolder(async (folder) => {
    await writeToyModel(`${folder}/models/toy`);
    const args = ["--port", String(freePort()), "--model-roots", `${folder}/models`];
    await using children = new AsyncDisposableStack();
    const env = { TMPDIR: `${folder}/temp` };
    let coordinator = children.use(startCoordinatorChild(`${folder}/data`, args, env));
    const joinUrl = await coordinator.joinUrl();
    const worker = startToyWorker({ name: "w", joinUrl, cacheFolder: `${folder}/cache`, gradientMs: 0 });
    children.defer(() => worker.stop());
    const api = coordinator.api();
    const ask = async (path: string, body?: unknown) => {
      const init = body === undefined
        ? {}
        : { method: "POST", headers: JSON_HEADERS, body: JSON.stringify(body) };
      return await (await fetch(`${api}${path}`, init)).json();
    };
    const form = new FormData();
    form.set("purpose", "fine-tune");
    form.set("file", await toyFile(0, 16));
    const { id: training_file } = await (await fetch(`${api}/files`, { method: "POST", body: form })).json();
    const job = await ask("/fine_tuning/jobs", {
      ...{ model: "toy", training_file, dataset: { max_seq_length: 64 } },
      lora: { r: 4, lora_alpha: 8, target_modules: ["q_proj"] },
      training: { max_steps: 2, gradient_accumulation_steps: 2, learning_rate: 0.1 },
    });
    const jobPath = `/fine_tuning/jobs/${job.id}`;
    await until("the end of the job", async () => (await ask(jobPath)).status === "succeeded");

    const created = await ask(`${jobPath}/exports`, { kind: "merged", dtype: "float32" });
    assertEquals(created.status, "running");
    const exports = `${folder}/data/exports`;
    await until(
      "its folder",
      () => Deno.stat(`${exports}/${created.id}.partial`).then(() => true, () => false),
    );
    coordinator.kill("SIGKILL");
    await coordinator.ended;
    assert(
      !await Deno.stat(`${exports}/${created.id}`).then(() => true, () => false),
      "it was killed too late",
    );
    if (Deno.build.os === "linux") {
      await until("the end of its children", () => processesOf(env.TMPDIR).length === 0);
    }

    coordinator = children.use(startCoordinatorChild(`${folder}/data`, args, env));
    await coordinator.joinUrl();
    const path = `${jobPath}/exports/${created.id}`;
    await until("the export", async () => (await ask(path)).status === "succeeded");
    const names = (await Array.fromAsync(Deno.readDir(exports))).map(({ name }) => name).sort();
    assertEquals(names, [created.id, `${created.id}.json`]);
    const merged = openSafetensors(`${exports}/${created.id}/model.safetensors`);
    const base = openSafetensors(`${folder}/models/toy/model.safetensors`);
    assertEquals([...merged.tensors.keys()].sort(), [...base.tensors.keys()].sort());
    assert(merged.read("model.layers.0.self_attn.q_proj.weight").length > 0);
  }));
