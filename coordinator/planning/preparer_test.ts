import { assert, assertEquals, assertRejects, assertStringIncludes, assertThrows } from "@std/assert";
import { fromFileUrl } from "@std/path";
import { createFakeClock } from "../../shared/testing/fake_clock.ts";
import { LoraFleetError } from "../../shared/errors.ts";
import { parseJobRequest } from "../job_request/parse.ts";
import type { PrepareRequest } from "./preparation/prepare_request.ts";
import { manifestOf } from "../base_models/files.ts";
import { sha256Of } from "../storage/streamed_file.ts";
import { createAttempts } from "./preparation/attempts.ts";
import type { runPreparationChild } from "./preparation/preparation_child.ts";
import { runHere } from "./preparation/preparation_fixture.ts";
import type { PreparationRequest, Progress } from "./preparation/preparation_messages.ts";
import { openPreparedCache } from "./preparation/prepared_cache.ts";
import { openPreparer, type Preparer } from "./preparer.ts";

const MODEL = fromFileUrl(new URL("../../deploy/demo/assets/base", import.meta.url));
const GOOD = ["mint", "otter", "lamp"].map((text) => JSON.stringify({ text: `${text} ${text}` })).join("\n");

interface Bench {
  readonly folder: string;
  readonly clock: ReturnType<typeof createFakeClock>;
  readonly preparer: Preparer;
  /** Files that were prepared. */
  readonly runs: string[];
  /** In place of a preparation. */
  run: (request: PreparationRequest, ...rest: never[]) => Promise<void>;
  readonly events: string[];
  request(id: string, content?: string, fields?: object, signal?: AbortSignal): Promise<PrepareRequest>;
  /** Another process on the same folder. */
  open(version?: string): Promise<Preparer>;
}

async function withBench(body: (bench: Bench) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir();
  const clock = createFakeClock();
  const runs: string[] = [];
  const events: string[] = [];
  const files = (await Array.fromAsync(Deno.readDir(MODEL))).map(({ name }) => ({
    name,
    size: 1,
    sha256: name,
  }));
  const run: typeof runPreparationChild = async (request, options) => {
    runs.push(request.files[0]!.path.slice(folder.length + 1));
    await (bench.run as typeof runHere)(request, options);
  };
  const open = (version = "1") => openPreparer(`${folder}/prepared`, clock, run, version);
  const bench: Bench = {
    ...{ folder, clock, runs, events, open, run: runHere as Bench["run"] },
    preparer: await open(),
    async request(id, content = GOOD, fields = {}, signal = new AbortController().signal) {
      const sha256 = sha256Of(new TextEncoder().encode(content));
      const trainingFilePath = `${folder}/${sha256.slice(0, 8)}`;
      await Deno.writeTextFile(trainingFilePath, content);
      return {
        ...{ id, signal, trainingFilePath, model: { folder: MODEL, manifest: manifestOf(files) } },
        spec: parseJobRequest({ model: "base", training_file: "file-1", ...fields }).spec,
        trainingFile: {
          ...{ id: "file-1", createdAt: 0, filename: "train.jsonl", purpose: "fine-tune", sha256 },
          ...{ size: content.length, artifact: null, expiresAt: null },
        },
        event: (level, message) => void events.push(`${level} ${message}`),
      };
    },
  };
  try {
    await body(bench);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

Deno.test("three hundred jobs on one file prepare it once, even if they differ otherwise and after a restart", () =>
  withBench(async (bench) => {
    const { preparer, runs } = bench;
    const requests = await Promise.all(
      Array.from(
        { length: 300 },
        (_, i) => bench.request(`job-${i}`, GOOD, { seed: i, training: { learning_rate: 1e-3 / (i + 1) } }),
      ),
    );
    const prepared = await Promise.all(requests.map((request) => preparer.prepare(request)));
    assertEquals([new Set(prepared.map(({ totalSteps }) => totalSteps)).size, runs.length], [1, 1]);
    const plan = await (await bench.open()).plan(requests[7]!);
    using _files = plan.files;
    assertEquals([plan.id, plan.totalSteps, runs.length], ["job-7", prepared[7]!.totalSteps, 1]);
  }));

Deno.test("a different file, other settings or a different release are prepared anew", () =>
  withBench(async (bench) => {
    const prepare = async (preparer: Preparer, content: string, fields: object) =>
      await preparer.prepare(await bench.request("job", content, fields));
    const changes: [string, object][] = [
      [GOOD, {}],
      [GOOD + "\n" + GOOD, {}],
      [GOOD, { dataset: { max_seq_length: 512 } }],
      [GOOD, { dataset: { packing: false } }],
      [GOOD, { dataset: { split_special_tokens: false } }],
    ];
    for (const [content, fields] of changes) await prepare(bench.preparer, content, fields);
    assertEquals(bench.runs.length, changes.length);
    for (const [content, fields] of changes) await prepare(bench.preparer, content, fields);
    await prepare(bench.preparer, GOOD, { dataset: { shuffle: false } });
    assertEquals(bench.runs.length, changes.length);
    await prepare(await bench.open("2"), GOOD, {});
    assertEquals(bench.runs.length, changes.length + 1);
  }));

Deno.test("rows that the cache has lost are prepared again when the job's turn comes", () =>
  withBench(async (bench) => {
    const request = await bench.request("job");
    await bench.preparer.prepare(request);
    for await (const { name, isFile } of Deno.readDir(`${bench.folder}/prepared`)) {
      if (isFile) await Deno.truncate(`${bench.folder}/prepared/${name}`, 100);
    }
    const plan = await bench.preparer.plan(request);
    using _files = plan.files;
    assertEquals([bench.runs.length, plan.microBatchesOf(1).length], [2, 1]);
  }));

Deno.test("rows that change while a job reads them are lost to its plan, and the next plan has them again", () =>
  withBench(async (bench) => {
    const request = await bench.request("job");
    await bench.preparer.prepare(request);
    const plan = await bench.preparer.plan(request);
    using files = plan.files!;
    const batches = plan.microBatchesOf(1);
    for await (const { name, isFile } of Deno.readDir(`${bench.folder}/prepared`)) {
      const path = `${bench.folder}/prepared/${name}`;
      if (isFile) await Deno.writeFile(path, (await Deno.readFile(path)).fill(1, -200));
    }
    const error = assertThrows(() => plan.microBatchesOf(1), LoraFleetError, "have changed");
    assertEquals(files.lost.reason, error);
    const again = await bench.preparer.plan(request);
    using _again = again.files;
    assertEquals([again.microBatchesOf(1), bench.runs.length], [batches, 2]);
  }));

Deno.test("a bad file is refused for each of its jobs, but read only once", () =>
  withBench(async (bench) => {
    for (const id of ["a", "b", "c"]) {
      const error = await assertRejects(
        async () => await bench.preparer.prepare(await bench.request(id, GOOD + "\n{")),
        LoraFleetError,
        "line 4 is not JSON",
      );
      assertEquals(error.code, "invalid_dataset");
    }
    assertEquals(bench.runs.length, 1);
  }));

Deno.test("two preparations at a time; the job whose turn to train has come goes before the others", () =>
  withBench(async (bench) => {
    const gates = new Map<string, () => void>();
    bench.run = async (request: PreparationRequest, ...rest) => {
      await new Promise<void>((resolve) => gates.set(request.spec.training_file, resolve));
      await (runHere as Bench["run"])(request, ...rest);
    };
    const ask = async (name: string, what: "prepare" | "plan") => {
      const request = await bench.request(name, `${GOOD}\n{"text":"${name} ${name}"}`, {
        training_file: name,
      });
      return bench.preparer[what](request);
    };
    const until = async (count: number) => {
      while (gates.size < count) await new Promise((resolve) => setTimeout(resolve, 1));
    };
    const first = [ask("a", "prepare"), ask("b", "prepare")];
    await until(2);
    const waiting = ask("c", "prepare");
    await new Promise((resolve) => setTimeout(resolve, 20));
    const urgent = ask("d", "plan");
    await new Promise((resolve) => setTimeout(resolve, 20));
    assertEquals([...gates.keys()].toSorted(), ["a", "b"]);
    gates.get("a")!();
    await until(3);
    assertEquals([...gates.keys()].at(-1), "d");
    for (const name of ["b", "d"]) gates.get(name)!();
    await until(4);
    gates.get("c")!();
    await Promise.all([...first, waiting, urgent]);
  }));

Deno.test("a cancelled job ends its preparation, and one that waited for the same file makes its own", () =>
  withBench(async (bench) => {
    const begun = Promise.withResolvers<void>();
    bench.run = (_request, ...rest) => {
      begun.resolve();
      const [{ signal }] = rest as unknown as [{ signal: AbortSignal }];
      return new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason)));
    };
    const cancelled = new AbortController();
    const owner = bench.preparer.prepare(await bench.request("a", GOOD, {}, cancelled.signal));
    await begun.promise;
    const waiter = bench.preparer.prepare(await bench.request("b"));
    bench.run = runHere as Bench["run"];
    cancelled.abort(new LoraFleetError("aborted", "cancelled"));
    await assertRejects(() => owner, LoraFleetError, "cancelled");
    assert((await waiter).totalSteps > 0);
    assertEquals(bench.runs.length, 2);
  }));

Deno.test("a job whose preparation has ended two processes is abandoned, and only that one", () =>
  withBench(async (bench) => {
    // Begun by processes that never came to its end.
    for (const earlier of [0, 1]) {
      assertEquals(await createAttempts(`${bench.folder}/prepared/attempts`).begin("poison"), earlier);
    }
    const error = await assertRejects(
      async () => await bench.preparer.prepare(await bench.request("poison")),
      Error,
      "has ended 2 times",
    );
    assert(!(error instanceof LoraFleetError), "a defect of ours, which is in the log");
    assert((await bench.preparer.prepare(await bench.request("good"))).totalSteps > 0);
    // Created anew under its old id or not, it has a clean slate once it was given up.
    assert((await bench.preparer.prepare(await bench.request("poison"))).totalSteps > 0);
  }));

Deno.test("failures and cancellations do not count as ends of the process", () =>
  withBench(async (bench) => {
    bench.run = () => Promise.reject(new LoraFleetError("does_not_fit", "no memory"));
    for (let attempt = 0; attempt < 4; attempt++) {
      await assertRejects(
        async () => await bench.preparer.prepare(await bench.request("a")),
        LoraFleetError,
        "no memory",
      );
    }
  }));

Deno.test("a full disk: others' rows are removed, then the job waits, with one event", () =>
  withBench(async (bench) => {
    await bench.preparer.prepare(await bench.request("other", GOOD + "\n" + GOOD));
    let fulls = 3;
    bench.run = (request, ...rest) => {
      if (fulls-- <= 0) return (runHere as Bench["run"])(request, ...rest);
      return Promise.reject(
        new LoraFleetError("storage", "cannot write: No space left on device (os error 28)"),
      );
    };
    const done = bench.preparer.prepare(await bench.request("a"));
    let isDone = false;
    done.then(() => isDone = true);
    while (!isDone) {
      await bench.clock.advance(1000);
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
    assertEquals(bench.events.filter((event) => event.startsWith("warn The disk has no space")).length, 1);
    await bench.preparer.prepare(await bench.request("other", GOOD + "\n" + GOOD));
    assertEquals(bench.runs.length, 6);
  }));

Deno.test("progress is an event every ten seconds, in bytes, rows and tokens", () =>
  withBench(async (bench) => {
    bench.run = async (request: PreparationRequest, ...rest) => {
      const [{ onProgress }] = rest as unknown as [{ onProgress: (progress: Progress) => void }];
      for (let second = 0; second < 25; second++) {
        onProgress({ bytes: second, totalBytes: 64, rows: second, tokens: 3 * second });
        await bench.clock.advance(1000);
      }
      await (runHere as Bench["run"])(request, ...rest);
    };
    await bench.preparer.prepare(await bench.request("a"));
    const events = bench.events.filter((event) => event.startsWith("info Preparing the data"));
    assertEquals(events.length, 2, events.join("\n"));
    assertStringIncludes(events[0]!, "10 of 64 bytes are read (15%); 10 rows, 30 tokens.");
  }));

Deno.test("the next job is warm: its rows are in the cache, and are not the first to be removed", () =>
  withBench(async (bench) => {
    const request = await bench.request("next");
    await bench.preparer.prepare(request);
    await (await openPreparedCache(`${bench.folder}/prepared`, bench.clock)).clear(
      "all of it",
    );
    await bench.preparer.warm(request);
    assertEquals(bench.runs.length, 2);
    await bench.preparer.warm(request);
    const plan = await bench.preparer.plan(request);
    using _files = plan.files;
    const reports = bench.events.filter((event) => event.includes(" examples in "));
    assertEquals([bench.runs.length, reports.length], [2, 1]);
  }));

Deno.test("rows to evaluate are prepared like those of training, and shared with jobs that train on them", () =>
  withBench(async (bench) => {
    const { preparer, runs, events, folder } = bench;
    const content = GOOD + "\n" + JSON.stringify({ text: "plum plum plum" });
    const path = `${folder}/validation`;
    await Deno.writeTextFile(path, content);
    const validationFiles = [{
      name: "valid.jsonl",
      sha256: sha256Of(new TextEncoder().encode(content)),
      path,
    }];
    const request = {
      ...await bench.request("job", GOOD, { validation_file: "file-2" }),
      validationFiles,
    };
    await preparer.prepare(request);
    assertEquals(runs.length, 2);
    assert(events.some((event) => event.startsWith("info 4 rows with ")), events.join("\n"));
    const { evaluation, specHash, files } = await preparer.plan(request);
    using _files = files;
    assertEquals([evaluation!.microBatchCount > 0, runs.length], [true, 2]);
    assertEquals(evaluation!.steps.includes(0), false);
    await preparer.prepare(await bench.request("other", content));
    assertEquals(runs.length, 2);
    const without = await preparer.plan(await bench.request("job", GOOD));
    using _others = without.files;
    assertEquals([without.evaluation, without.specHash === specHash], [null, false]);
  }));

Deno.test("a validation file without a token that counts is refused before the start, by its field", () =>
  withBench(async (bench) => {
    const path = `${bench.folder}/validation`;
    const content = JSON.stringify({ text: "" });
    await Deno.writeTextFile(path, content);
    const validationFiles = [{
      name: "valid.jsonl",
      sha256: sha256Of(new TextEncoder().encode(content)),
      path,
    }];
    const request = { ...await bench.request("job", GOOD, { validation_file: "file-2" }), validationFiles };
    const error = await assertRejects(() => bench.preparer.prepare(request), LoraFleetError);
    assertStringIncludes(error.message, "the rows to evaluate (validation_file)");
    assertEquals([error.code, error.param], ["invalid_dataset", "line 1"]);
  }));
