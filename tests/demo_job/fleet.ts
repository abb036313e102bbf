/** The demo's job on a coordinator and workers that may be of different releases, and may be replaced. */
import { dirname, join } from "@std/path";
import { ApiClient } from "../../deploy/client/api_client.ts";
import { downloadAdapter, sha256Hex } from "../../deploy/client/result_files.ts";
import { type DemoOptions, jobRequest } from "../../deploy/demo/options.ts";
import { systemClock } from "../../shared/clock.ts";
import { LoraFleetError } from "../../shared/errors.ts";
import { type Program, type Release, startProgram } from "./release.ts";

const LOOK_MS = 200;
const PATIENCE_MS = 600_000;

export class DemoFleet {
  readonly #folder: string;
  readonly #env: Readonly<Record<string, string>>;
  readonly #options: DemoOptions;
  readonly #port: number;
  #coordinator: Program | null = null;
  #joinUrl = "";
  readonly #workers: Program[] = [];
  #started = 0;

  /** @param folder for data and logs @param port of every coordinator, so that workers find the next one */
  constructor(folder: string, env: Readonly<Record<string, string>>, options: DemoOptions, port: number) {
    this.#folder = folder;
    this.#env = env;
    this.#options = options;
    this.#port = port;
  }

  get #api(): ApiClient {
    return new ApiClient(new URL(this.#joinUrl).origin, AbortSignal.timeout(PATIENCE_MS));
  }

  /** @param env besides, such as where its broker is */
  async startCoordinator(release: Release, env: Readonly<Record<string, string>> = {}): Promise<void> {
    const roots = dirname(this.#options.modelFolder);
    const args = [
      "--port",
      String(this.#port),
      "--data-folder",
      join(this.#folder, "data"),
      "--model-roots",
      roots,
    ];
    this.#coordinator = startProgram(release, "coordinator", args, this.#placeOf("coordinator", env));
    this.#joinUrl = await this.#coordinator.match(/--join\s+(https?:\/\/\S+)/);
  }

  /** @param more options */
  async startWorker(release: Release, more: readonly string[] = []): Promise<void> {
    const before = (await this.#api.workers()).length;
    const args = [
      "--join",
      this.#joinUrl,
      "--allow-cpu",
      ...(this.#options.ignoreGpu ? ["--ignore-gpu"] : []),
      ...more,
    ];
    this.#workers.push(startProgram(release, "worker", args, this.#placeOf("worker")));
    await this.#until("a worker that has loaded its job", async () => {
      const workers = await this.#api.workers();
      return workers.length > before &&
        workers.every(({ state }) => state === "ready" || state === "working");
    });
  }

  /** A worker that ends without having joined: its exit code and its last line. */
  async refusedWorker(release: Release): Promise<{ readonly code: number; readonly last: string }> {
    const args = ["--join", this.#joinUrl, "--allow-cpu", ...this.#options.ignoreGpu ? ["--ignore-gpu"] : []];
    const worker = startProgram(release, "worker", args, this.#placeOf("refused"));
    this.#workers.push(worker);
    const outcome = await worker.ended;
    this.#workers.pop();
    return outcome;
  }

  /** Its exit code. The workers go on without it. */
  async stopCoordinator(): Promise<void> {
    const code = await this.#coordinator!.leave();
    if (code !== 0) throw new LoraFleetError("aborted", `the coordinator ended with ${code}`);
  }

  /** The oldest one drains: it ends its attempt and leaves. */
  async drainWorker(): Promise<void> {
    const code = await this.#workers.shift()!.leave();
    if (code !== 0) throw new LoraFleetError("aborted", `a worker that was to drain ended with ${code}`);
  }

  /** As the demo does: its adapter is this one's. */
  async submit(): Promise<string> {
    const file = await this.#api.uploadDataset(this.#options.datasetPath, "train.jsonl");
    return (await this.#api.createJob(jobRequest(this.#options, file.id))).id;
  }

  async step(id: string): Promise<number> {
    return (await this.#api.job(id)).step;
  }

  async reached(id: string, step: number): Promise<void> {
    await this.#until(`step ${step}`, async () => {
      const job = await this.#api.job(id);
      if (job.status === "failed") {
        throw new LoraFleetError("aborted", `the job has failed: ${job.error?.message}`);
      }
      return job.step >= step;
    });
  }

  /** The SHA-256 of the finished job's adapter. */
  async adapter(id: string): Promise<string> {
    await this.reached(id, this.#options.maxSteps!);
    await this.#until("the job's end", async () => (await this.#api.job(id)).status === "succeeded");
    const files = await downloadAdapter(this.#api, await this.#api.job(id));
    return await sha256Hex(files.get("adapter_model.safetensors")!);
  }

  async close(): Promise<void> {
    await Promise.all(this.#workers.map((worker) => worker.kill()));
    // Its broker ends with it.
    await this.#coordinator?.leave();
  }

  #placeOf(name: string, env: Readonly<Record<string, string>> = {}) {
    return { env: { ...this.#env, ...env }, logPath: join(this.#folder, `${name}-${this.#started++}.log`) };
  }

  async #until(what: string, isSo: () => Promise<boolean>): Promise<void> {
    const deadline = systemClock.now() + PATIENCE_MS;
    while (!await isSo()) {
      if (systemClock.now() > deadline) {
        throw new LoraFleetError("timeout", `${what} has not come in ${PATIENCE_MS / 60_000} min`);
      }
      await systemClock.sleep(LOOK_MS);
    }
  }
}
