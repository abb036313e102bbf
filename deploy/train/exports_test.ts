import { assertEquals, assertRejects } from "@std/assert";
import { systemClock } from "../../shared/clock.ts";
import { LoraFleetError } from "../../shared/errors.ts";
import type { ExportKind } from "../../shared/job/export_kinds.ts";
import { ApiClient } from "../client/api_client.ts";
import { JobExports, writeExports } from "./exports.ts";

type Made = Awaited<ReturnType<JobExports["make"]>>;

/** Exports of which some cannot be made. */
function exportsWithout(failing: Readonly<Record<string, Error>>, done: string[]) {
  return {
    make: (kind: ExportKind) => {
      const failure = failing[kind];
      return failure === undefined ? Promise.resolve({ id: kind } as Made) : Promise.reject(failure);
    },
    download: ({ id }: Made, folder: string) => Promise.resolve(void done.push(`${id} in ${folder}`)),
    push: ({ id }: Made, repo: string) => Promise.resolve(`https://hub/${repo}/${id}`),
  };
}

Deno.test("an export that fails costs neither the others nor the push, and is the run's failure", async () => {
  const [done, lines]: [string[], string[]] = [[], []];
  const failure = new LoraFleetError("aborted", "the export gguf failed: no name for its tokenizer");
  const further = await writeExports(
    { exports: ["merged", "gguf", "adapter"], outFolder: "/o", pushTo: "org/tuned" },
    exportsWithout({ gguf: failure }, done),
    (line) => lines.push(line),
    new AbortController().signal,
  );
  assertEquals(further, { exports: ["merged", "adapter"], failure });
  assertEquals(done, ["merged in /o/merged", "adapter in /o/adapter"]);
  assertEquals(lines.slice(1, 3), ["exporting: gguf", `error: ${failure.message}`]);
  assertEquals(lines.at(-1), "pushed: https://hub/org/tuned/merged");
});

Deno.test("what was to be pushed has failed: nothing else is pushed in its place", async () => {
  const failure = new LoraFleetError("aborted", "the disk is full");
  const lines: string[] = [];
  const further = await writeExports(
    { exports: ["merged", "gguf"], outFolder: "/o", pushTo: "org/tuned" },
    exportsWithout({ merged: failure }, []),
    (line) => lines.push(line),
    new AbortController().signal,
  );
  assertEquals(further, { exports: ["gguf"], failure });
  assertEquals(lines.filter((line) => line.includes("push")), []);
});

Deno.test("an interruption is no failed export: nothing else is begun", async () => {
  const stopper = new AbortController();
  // As Ctrl-C has it.
  const interrupted = new LoraFleetError("aborted", "SIGINT");
  stopper.abort(interrupted);
  const lines: string[] = [];
  await assertRejects(
    () =>
      writeExports(
        { exports: ["merged", "gguf"], outFolder: "/o", pushTo: null },
        exportsWithout({ merged: interrupted }, []),
        (line) => lines.push(line),
        stopper.signal,
      ),
    LoraFleetError,
    "SIGINT",
  );
  assertEquals(lines, ["exporting: merged"]);
});

/** Of "abc". */
const SHA256 = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

/** A coordinator with one export of one file, as it becomes more finished with each question. */
async function withExport(
  name: string,
  body: (exports: JobExports, folder: string, asked: () => number) => Promise<void>,
  measurements: readonly object[] = [],
) {
  let asked = 0;
  const files = [{ name, url: "/file", sha256: SHA256 }];
  const server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: () => {} }, ({ url }) => {
    if (url.endsWith("/file")) return new Response("abc");
    const status = ["queued", "running", "succeeded"][Math.min(asked++, 2)]!;
    const isDone = status === "succeeded";
    const measurement = measurements[Math.min(asked - 3, measurements.length - 1)] ?? null;
    return Response.json({
      id: "e",
      status,
      error: null,
      files: isDone ? files : [],
      measurement,
      push: null,
    });
  });
  const folder = await Deno.makeTempDir();
  const { signal } = new AbortController();
  const clock = { now: systemClock.now, sleep: () => Promise.resolve() };
  try {
    const api = new ApiClient(`http://127.0.0.1:${server.addr.port}`, signal);
    await body(new JobExports(api, "ftjob-1", clock, signal), `${folder}/out/gguf`, () => asked);
  } finally {
    await server.shutdown();
    await Deno.remove(folder, { recursive: true });
  }
}

Deno.test("an export is waited for and downloaded into its folder", () =>
  withExport("model.gguf", async (exports, folder) => {
    await exports.download(await exports.make("gguf"), folder);
    assertEquals(await Deno.readTextFile(`${folder}/model.gguf`), "abc");
  }));

Deno.test("a merge is downloaded when it is measured, or when nobody is there to measure it", async () => {
  const waiting = { status: "waiting", reason: null };
  const [running, done] = [{ status: "running", reason: null }, { status: "succeeded", reason: null }];
  const count = async (measurements: readonly object[]) => {
    let count = 0;
    await withExport("model.safetensors", async (exports, _folder, asked) => {
      await exports.make("merged");
      count = asked();
    }, measurements);
    return count;
  };
  assertEquals(await count([]), 3);
  assertEquals(await count([waiting, running, running, done]), 6);
  assertEquals(await count([waiting, { status: "waiting", reason: "no worker has joined" }]), 4);
});

Deno.test("no name leads out of the folder", async () => {
  for (const name of ["../../evil", "a/b", "..", ".bashrc", "a\\b", ""]) {
    await withExport(name, async (exports, folder) => {
      const made = await exports.make("gguf");
      await assertRejects(() => exports.download(made, folder), LoraFleetError, "a plain name is needed");
      assertEquals([...Deno.readDirSync(folder)], []);
    });
  }
});
