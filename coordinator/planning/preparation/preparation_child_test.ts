import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { fromFileUrl } from "@std/path";
import { systemClock } from "../../../shared/clock.ts";
import { LoraFleetError } from "../../../shared/errors.ts";
import { goldenPath } from "../../../tests/golden/data_goldens.ts";
import { parseJobRequest } from "../../job_request/parse.ts";
import { sha256Of } from "../../storage/streamed_file.ts";
import { type PreparationChildOptions, preparationWith, runPreparationChild } from "./preparation_child.ts";
import { runHere } from "./preparation_fixture.ts";
import { openPreparedCache } from "./prepared_cache.ts";

const MODEL = fromFileUrl(new URL("../../../deploy/demo/assets/base", import.meta.url));
const TRAIN = fromFileUrl(new URL("../../../deploy/demo/assets/train.jsonl", import.meta.url));
const patient = new AbortController().signal;

async function withFolder(body: (folder: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir();
  try {
    await body(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

async function requestFor(
  folder: string,
  trainingFilePath: string,
  dataset: object = {},
  outputPath = `${folder}/out.rows`,
) {
  return {
    spec: parseJobRequest({ model: "base", training_file: "file-1", dataset }).spec,
    ...{ modelFolder: MODEL, outputPath, key: "k" },
    files: [{
      path: trainingFilePath,
      name: "train.jsonl",
      sha256: sha256Of(await Deno.readFile(trainingFilePath)),
    }],
  };
}

async function rowsFile(folder: string, text: string): Promise<string> {
  await Deno.writeTextFile(`${folder}/train.jsonl`, JSON.stringify({ text }) + "\n");
  return `${folder}/train.jsonl`;
}

const run = async (
  folder: string,
  path: string,
  dataset: object,
  options: Partial<PreparationChildOptions> = {},
) =>
  await runPreparationChild(await requestFor(folder, path, dataset), {
    ...{ clock: systemClock, signal: patient, onProgress: () => {} },
    ...options,
  });

/** A program in place of the preparation's. */
async function scripted(folder: string, code: string): Promise<URL> {
  await Deno.writeTextFile(`${folder}/script.ts`, code);
  return new URL(`file://${folder}/script.ts`);
}

Deno.test("a process with threads prepares the same bytes as this one would", () =>
  withFolder(async (folder) => {
    const comma = `${folder}/a,b`;
    await openPreparedCache(comma, systemClock);
    const options = { clock: systemClock, signal: patient, onProgress: () => {} };
    const inChild = await requestFor(folder, TRAIN, { max_seq_length: 64 }, `${comma}/child.rows`);
    await preparationWith(2)(inChild, options);
    await runHere({ ...inChild, outputPath: `${comma}/here.rows` }, options);
    assertEquals(await Deno.readFile(`${comma}/child.rows`), await Deno.readFile(`${comma}/here.rows`));
  }));

Deno.test("flags of V8 in the environment, whose traces go where the messages go, change nothing", () =>
  withFolder(async (folder) => {
    const path = await rowsFile(folder, "a ".repeat(1000));
    Deno.env.set("DENO_V8_FLAGS", "--trace-gc,--trace-gc-verbose");
    try {
      await assertRejects(() => run(folder, path, { max_seq_length: 16 }), LoraFleetError, "1 of 1 rows");
    } finally {
      Deno.env.delete("DENO_V8_FLAGS");
    }
  }));

/** Of each thread of a process, on Linux. */
function nicenessOf(pid: number): number[] {
  return [...Deno.readDirSync(`/proc/${pid}/task`)].map(({ name }) => {
    const stat = Deno.readTextFileSync(`/proc/${pid}/task/${name}/stat`);
    return Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[16]);
  });
}

Deno.test({
  name: "every thread of the process has low priority, those of the engine too",
  ignore: Deno.build.os !== "linux",
  fn: () =>
    withFolder(async (folder) => {
      const progress = `{ type: "progress", bytes: Deno.pid, totalBytes: 0, rows: 0, tokens: 0 }`;
      const script = await scripted(
        folder,
        `console.log("lorafleet: " + JSON.stringify(${progress})); await Deno.stdin.read(new Uint8Array(1)); while (true);`,
      );
      const { promise: pid, resolve } = Promise.withResolvers<number>();
      const stop = new AbortController();
      const running = run(folder, TRAIN, {}, {
        ...{ script, signal: stop.signal, onProgress: ({ bytes }) => resolve(bytes) },
      });
      const own = nicenessOf(Deno.pid)[0]!;
      const found = nicenessOf(await pid);
      assertEquals(found, found.map(() => Math.min(19, own + 10)));
      stop.abort(new Error("enough"));
      await assertRejects(() => running, Error, "enough");
    }),
});

Deno.test("the preparation's error arrives with code and field", () =>
  withFolder(async (folder) => {
    const path = await rowsFile(folder, "a ".repeat(1000));
    const error = await assertRejects(
      () => run(folder, path, { max_seq_length: 16 }),
      LoraFleetError,
      "1 of 1 rows",
    );
    assertEquals([error.code, error.param], ["invalid_dataset", "dataset.max_seq_length"]);
  }));

Deno.test("a cancelled preparation ends at once, in the middle of a row of megabytes", () =>
  withFolder(async (folder) => {
    const path = await rowsFile(folder, "a".repeat(3_000_000));
    const cancelled = new AbortController();
    const reason = new LoraFleetError("aborted", "cancelled");
    const running = run(folder, path, { packing_strategy: "wrapped" }, { signal: cancelled.signal });
    await systemClock.sleep(800);
    const abortedAt = performance.now();
    cancelled.abort(reason);
    assertEquals(await running.catch((thrown) => thrown), reason);
    assert(performance.now() - abortedAt < 500);
  }));

Deno.test("a process that runs out of memory is a failure with its reason, and ends no other process", () =>
  withFolder(async (folder) => {
    const greedy =
      "const kept = []; while (true) kept.push({ at: kept.length, text: String(Math.random()) });";
    const inThread = `new Worker("data:text/javascript,${encodeURIComponent(greedy)}", { type: "module" });`;
    for (const code of [greedy, inThread]) {
      const script = await scripted(folder, code);
      const error = await assertRejects(
        () => run(folder, TRAIN, {}, { script, maxHeapMib: 64 }),
        LoraFleetError,
        "more memory",
      );
      assertEquals([error.code, error.param], ["does_not_fit", "training_file"]);
    }
  }));

Deno.test("a process that the system kills is a failure with its reason", () =>
  withFolder(async (folder) => {
    const script = await scripted(
      folder,
      `import process from "node:process"; process.kill(process.pid, "SIGKILL");`,
    );
    const error = await assertRejects(
      () => run(folder, TRAIN, {}, { script }),
      LoraFleetError,
      "the system has ended its process",
    );
    assertEquals(error.code, "does_not_fit");
  }));

Deno.test("a process that makes no progress is ended", () =>
  withFolder(async (folder) => {
    const script = await scripted(folder, "while (true);");
    const error = await assertRejects(
      () => run(folder, TRAIN, {}, { script, stallMs: 300 }),
      LoraFleetError,
      "standstill",
    );
    assertEquals([error.code, error.param], ["timeout", "training_file"]);
  }));

Deno.test("a damaged Parquet file in which the reader hangs ends the preparation with its name", () =>
  withFolder(async (folder) => {
    const bytes = await Deno.readFile(goldenPath("data/formats/parquet/delta_v2.parquet"));
    // One byte within a page: the reader's loop does not end.
    bytes[473] = 184;
    await Deno.writeFile(`${folder}/rows.parquet`, bytes);
    const request = await requestFor(folder, `${folder}/rows.parquet`);
    const named = { ...request, files: request.files.map((file) => ({ ...file, name: "rows.parquet" })) };
    const options = { clock: systemClock, signal: patient, onProgress: () => {}, decodeMs: 500 };
    const error = await assertRejects(() => runPreparationChild(named, options), LoraFleetError);
    assertEquals([error.code, error.param], ["timeout", "training_file"]);
    assertStringIncludes(error.message, `rows 1 to 20 of the file "rows.parquet" were not decoded in 1 s`);
  }));

Deno.test("a defect is not reported as the user's fault, and keeps the process's output", () =>
  withFolder(async (folder) => {
    const script = await scripted(folder, `throw new TypeError("of ours")`);
    const error = await assertRejects(() => run(folder, TRAIN, {}, { script }), Error, "exit code 1");
    assert(!(error instanceof LoraFleetError));
    assert(error.stack!.includes("of ours"), error.stack);
    const failing = await scripted(
      folder,
      `console.log("lorafleet: " + JSON.stringify({ type: "failed", failure: { code: null, message: "of ours", param: null, stack: "at x" } }))`,
    );
    const defect = await assertRejects(() => run(folder, TRAIN, {}, { script: failing }), Error, "of ours");
    assertEquals(defect.stack, "at x");
  }));

Deno.test("a process whose coordinator is gone ends by itself", () =>
  withFolder(async (folder) => {
    const script = fromFileUrl(new URL("./preparation_process.ts", import.meta.url));
    const child = new Deno.Command(Deno.execPath(), {
      args: ["run", "-q", "--no-check", "--allow-read", "--allow-sys", script],
      ...{ stdin: "piped", stdout: "null", stderr: "null" } as const,
    }).spawn();
    await child.stdin.close();
    assertEquals((await child.status).code, 1);
    assertEquals([...Deno.readDirSync(folder)], []);
  }));
