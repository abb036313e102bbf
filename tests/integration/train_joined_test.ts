/**
 * `deno task train` beside a running coordinator, whose answers are lost on the way and whose job fails: no job is made twice, and
 * none loses its checkpoints. The worker has no GPU.
 */
import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { join } from "@std/path";
import { systemClock } from "../../shared/clock.ts";
import { inTempFolder, startCommand } from "./command_child.ts";
import { type CoordinatorChild, freePort, startCoordinatorChild, until } from "./coordinator_child.ts";
import { toyFile, writeToyModel } from "./toy_model.ts";
import { startToyWorker } from "./toy_worker.ts";

const TRAIN = "deploy/train/main.ts";

interface Setting {
  readonly folder: string;
  readonly out: string;
  readonly coordinator: CoordinatorChild;
  /** Ends this coordinator as a failing machine does and starts another. */
  restart(): Promise<void>;
  /** @param url of a coordinator or of what stands before it */
  run(url: string, ...more: string[]): ReturnType<typeof startCommand>;
  jobs(): Promise<{ id: string; status: string; step: number; training: Record<string, unknown> }[]>;
}

async function withSetting(gradientMs: number, body: (setting: Setting) => Promise<void>): Promise<void> {
  await inTempFolder(async (folder) => {
    await writeToyModel(`${folder}/models/toy`);
    await Deno.writeFile(`${folder}/rows.jsonl`, new Uint8Array(await (await toyFile(0, 64)).arrayBuffer()));
    const config = "lora: {r: 4, lora_alpha: 8, target_modules: [q_proj]}\ndataset: {max_seq_length: 64}\n" +
      "training: {learning_rate: 0.1, gradient_accumulation_steps: 2, save_strategy: steps, save_steps: 2}\n";
    await Deno.writeTextFile(`${folder}/job.yaml`, config);
    const args = ["--port", String(freePort()), "--model-roots", `${folder}/models`];
    await using children = new AsyncDisposableStack();
    let coordinator = children.use(startCoordinatorChild(`${folder}/data`, args));
    const worker = startToyWorker({
      ...{ name: "w", joinUrl: await coordinator.joinUrl(), cacheFolder: `${folder}/cache`, gradientMs },
      refusesToMeasure: true,
    });
    children.defer(() => worker.stop());
    const api = coordinator.api();
    const out = join(folder, "out");
    await body({
      folder,
      out,
      coordinator,
      async restart() {
        coordinator.kill("SIGKILL");
        await coordinator.ended;
        coordinator = children.use(startCoordinatorChild(`${folder}/data`, args));
        await coordinator.joinUrl();
      },
      run: (url, ...more) =>
        startCommand(
          TRAIN,
          folder,
          ...["--model", `${folder}/models/toy`, "--data", `${folder}/rows.jsonl`, "--out", out],
          ...["--config", `${folder}/job.yaml`, "--join-existing", url, ...more],
        ),
      jobs: async () => (await (await fetch(`${api}/fine_tuning/jobs`)).json()).data,
    });
  });
}

/** Stands before a coordinator and does something else with requests for jobs. */
function proxyTo(origin: string, onCreate: (answer: () => Promise<Response>) => Promise<Response>) {
  return Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: () => {} }, async (request) => {
    const { pathname, search } = new URL(request.url);
    const body = request.method === "GET" ? null : await request.arrayBuffer();
    const headers = new Headers(request.headers);
    headers.delete("host");
    const answer = () => fetch(`${origin}${pathname}${search}`, { method: request.method, headers, body });
    const isCreated = request.method === "POST" && pathname === "/v1/fine_tuning/jobs";
    return await (isCreated ? onCreate(answer) : answer());
  });
}

async function endOf(command: ReturnType<typeof startCommand>): Promise<[number, string]> {
  const { code } = await command.process.status;
  await command.drained;
  return [code, command.text()];
}

Deno.test("train: Ctrl-C or a lost connection while the job is being created makes no second job", () =>
  withSetting(0, async ({ coordinator, run, jobs, out }) => {
    const created = Promise.withResolvers<void>();
    let answers = 0;
    const proxy = proxyTo(new URL(coordinator.api()).origin, async (answer) => {
      const response = await answer();
      answers++;
      if (answers === 1) {
        created.resolve();
        // The client is gone before it comes.
        await systemClock.sleep(1000);
      }
      return answers === 2 ? Response.json({}, { status: 502 }) : response;
    });
    try {
      const url = `http://127.0.0.1:${proxy.addr.port}`;
      const first = run(url, "--steps", "4");
      await created.promise;
      first.process.kill("SIGINT");
      assertEquals((await endOf(first))[0], 130);
      assertEquals((await jobs()).length, 1);

      const [otherCode, other] = await endOf(run(url, "--steps", "5"));
      assertEquals(otherCode, 1);
      assertMatch(other, /was interrupted \(while its job was being created\)/);

      const [code, text] = await endOf(run(url, "--steps", "4"));
      assertEquals(code, 0, text);
      assertStringIncludes(text, "asking again for the job that was being created");
      assertEquals([answers, (await jobs()).map(({ status }) => status)], [3, ["succeeded"]]);
      assertEquals((await Deno.stat(join(out, "adapter_model.safetensors"))).isFile, true);
    } finally {
      await proxy.shutdown();
    }
  }));

Deno.test("train: a job that fails keeps its checkpoint, and the same command and --resume go on from it", () =>
  withSetting(30, async ({ coordinator, run, jobs, out }) => {
    const api = coordinator.api();
    const url = api.replace("/v1", "");
    const first = run(url, "--steps", "60");
    await until(
      "a checkpoint",
      () => first.text().includes("The checkpoint of step 4 is stored"),
      first.text,
    );
    const cancelNewest = async () => {
      const [{ id } = { id: "" }] = await jobs();
      await fetch(`${api}/fine_tuning/jobs/${id}/cancel`, { method: "POST" });
      return id;
    };
    const id = await cancelNewest();
    const [code, text] = await endOf(first);
    assertEquals(code, 1, text);
    const step = Number(/The adapter of step (\d+) is in/.exec(text)?.[1]);
    assert(step >= 4, text);
    const kept = [...Deno.readDirSync(join(out, `checkpoint-${step}`))].map(({ name }) => name).sort();
    assertEquals(kept, ["adapter_config.json", "adapter_model.safetensors"]);

    const second = run(url, "--steps", "60");
    const stored = `The checkpoint of step ${step + 4} is stored`;
    await until("a later checkpoint", () => second.text().includes(stored), second.text);
    const resumed = await cancelNewest();
    const [secondCode, again] = await endOf(second);
    assertEquals(secondCode, 1, again);
    assertStringIncludes(again, `going on from the checkpoint of step ${step} of ${id}`);
    assertMatch(again, new RegExp(`goes on after step ${step} of ${id} with its adapter, moments`));
    const later = Number(/The adapter of step (\d+) is in/.exec(again)?.[1]);
    assert(later > step, again);

    const [otherCode, other] = await endOf(run(url, "--steps", "50"));
    assertEquals(otherCode, 1, other);
    assertMatch(
      other,
      new RegExp(`has the checkpoint of step ${later} of a different run that failed.*--resume`),
    );
    const [lastCode, last] = await endOf(run(url, "--steps", "50", "--resume"));
    assertEquals(lastCode, 0, last);
    assertStringIncludes(last, `going on from the checkpoint of step ${later} of ${resumed}`);
    assertEquals((await jobs()).map(({ status }) => status), ["succeeded", "cancelled", "cancelled"]);
    assertEquals((await jobs())[0]!.step, 50);
    assertEquals(await Deno.stat(`${out}.run`).catch(() => null), null);
  }));

Deno.test("train: a coordinator that is killed during an export is waited for, and its export fetched", () =>
  withSetting(0, async ({ coordinator, run, restart, out }) => {
    const command = run(coordinator.api().replace("/v1", ""), "--steps", "4", "--export", "merged");
    await until("the export", () => command.text().includes("exporting: merged"), command.text);
    await restart();
    const [code, text] = await endOf(command);
    assertEquals(code, 0, text);
    assertEquals((await Deno.stat(join(out, "merged/model.safetensors"))).isFile, true);
  }));
