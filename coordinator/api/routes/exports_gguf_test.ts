import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import { LoraFleetError } from "../../../shared/errors.ts";
import { openMerged } from "../../../shared/checkpoint/merge/merged_model.ts";
import { writeFamily } from "../../../tests/golden/exports/gguf_families.ts";
import { type GoldenJob, ladderJob, trainGoldenJob, untilExport } from "../../exports/export_fixture.ts";
import { parseJobRequest } from "../../job_request/parse.ts";
import { openOutputFolder } from "../../exports/files/output_folder.ts";
import { planModelGguf } from "../../exports/gguf/model_gguf.ts";
import { errorOf, withWorld, type World } from "../../testing/app_fixture.ts";

const post = (world: World, jobId: string, body: unknown) =>
  world.app.request(`/v1/fine_tuning/jobs/${jobId}/exports`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body),
  });

async function withFamily<T>(name: string, use: (job: GoldenJob) => Promise<T>): Promise<T> {
  const folder = await Deno.makeTempDir({ prefix: "lorafleet-family-" });
  try {
    const written = await writeFamily(name, folder);
    return await use({ ...written, tokenizerFolder: written.modelFolder, doubleQuantization: true });
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

const MODELFILE: Readonly<Record<string, [architecture: string, stop: string | null]>> = {
  gemma2: ["gemma2", "<end_of_turn>"],
  gemma3_vision: ["gemma3", "<end_of_turn>"],
  phi3_longrope: ["phi3", "<|end|>"],
  smollm3: ["smollm3", null],
};

for (const [name, [architecture, stop]] of Object.entries(MODELFILE)) {
  Deno.test(`${name}: two exports of a job at once, and none of a base model that has changed since`, () =>
    withFamily(name, (golden) =>
      withWorld({}, async (world) => {
        const jobId = await trainGoldenJob(world, {}, golden);
        const asked = await Promise.all(
          ["gguf", "adapter_gguf"].map(async (kind) =>
            (await (await post(world, jobId, { kind })).json()).id
          ),
        );
        for (const id of asked) {
          const { error, files } = await untilExport(world, { jobId, id });
          assertEquals(error, null);
          const folder = `${world.folder}/exports/${id}`;
          const head = (await Deno.readFile(`${folder}/${
            files.find((file) => file.name.endsWith(".gguf"))!.name
          }`))
            .subarray(0, 200);
          assert(new TextDecoder("latin1").decode(head).includes(architecture));
          const modelfile = await Deno.readTextFile(`${folder}/Modelfile`);
          assertEquals(stop === null || modelfile.includes(`PARAMETER stop "${stop}"`), true, modelfile);
        }
        await Deno.writeTextFile(`${world.folder}/models/org/golden/generation_config.json`, "{}");
        const { id } = await (await post(world, jobId, { kind: "gguf", quantization: "Q8_0" })).json();
        const { error } = await untilExport(world, { jobId, id });
        assertEquals([error?.code, error?.param], ["conflict", "model"]);
        const left = (await Array.fromAsync(Deno.readDir(`${world.folder}/exports`))).map((entry) =>
          entry.name
        );
        assertEquals(left.sort(), [...asked, ...asked.map((done) => `${done}.json`), `${id}.json`].sort());
      })));
}

Deno.test("a form that the base model cannot have is refused at once, with the reason", () =>
  withWorld({}, async (world) => {
    const jobId = await trainGoldenJob(world, {}, ladderJob("gemma2_caps"));
    for (const kind of ["gguf", "adapter_gguf"]) {
      const refused = await post(world, jobId, { kind });
      const { error } = await refused.clone().json();
      assertMatch(error.message, /^GGUF is not possible for this model: its query_pre_attn_scalar is 24/);
      assertEquals(await errorOf(refused), [400, "invalid_request", "kind"]);
    }
    assertEquals(world.services.exports.list(jobId), []);
    // Also of a job that has not trained yet.
    const { lora } = ladderJob("gemma2_caps");
    const rows = await world.upload("c\nd");
    const waiting = await world.jobs.create(
      parseJobRequest({ model: "org/golden", training_file: rows.id, lora }),
    );
    assertEquals(await errorOf(await post(world, waiting.id, { kind: "gguf" })), [
      400,
      "invalid_request",
      "kind",
    ]);
    await world.finished(waiting.id);
    // What lies in the way of a merge is nothing.
    const { id } = await (await post(world, jobId, { kind: "merged" })).json();
    assertEquals((await untilExport(world, { jobId, id })).error, null);
  }));

/** A disk with room for so many bytes. */
function smallDisk(path: string, bytes: number): Deno.FsFile {
  const file = Deno.openSync(path, { write: true, create: true });
  const writeSync = file.writeSync.bind(file);
  let left = bytes;
  file.writeSync = (data) => {
    if (data.length > left) {
      throw Object.assign(new Error("No space left on device (os error 28)"), { code: "ENOSPC" });
    }
    left -= data.length;
    return writeSync(data);
  };
  return file;
}

Deno.test("a disk that fills in the middle of a GGUF file: bytes written and needed are told", () =>
  withFamily("gemma3", async (golden) => {
    const adapterPath = `${golden.adapterFolder}/adapter_model.safetensors`;
    const gguf = planModelGguf(await openMerged({ ...golden, adapterPath, base: "nf4" }), "F16", "tuned", []);
    const folder = await Deno.makeTempDir({ prefix: "lorafleet-full-" });
    const output = openOutputFolder(folder, {
      bytesNeeded: gguf.totalBytes,
      open: (path) => smallDisk(path, 60_000),
    });
    const words = new RegExp(
      `failed after \\d+ bytes of the ${gguf.totalBytes} that the export needs: the disk is full`,
    );
    const error = await assertRejects(() => output.write("tuned.gguf", gguf.bytes()), LoraFleetError);
    assertMatch(error.message, words);
    assertEquals([error.code, output.files], ["storage", []]);
    await Deno.remove(folder, { recursive: true });
  }));
