/**
 * What a lossy codec costs in loss, and saves in bytes: the demo's job with each codec, and once more with another seed, which
 * shows how much two runs differ anyway.
 *
 *     deno task bench:codecs [--workers 2] [--steps 40]
 */
import { dirname, join } from "@std/path";
import { parseArgs } from "node:util";
import { Children } from "../../deploy/demo/children.ts";
import { evaluate } from "../../deploy/demo/evaluation.ts";
import { repositoryRoot, startFleet } from "../../deploy/demo/fleet.ts";
import { type DemoOptions, jobRequest, maxNewTokens } from "../../deploy/demo/options.ts";
import { systemClock } from "../../shared/clock.ts";

interface Run {
  readonly name: string;
  readonly change: Record<string, unknown>;
}

interface Trained {
  readonly name: string;
  readonly gpuNames: readonly string[];
  readonly losses: readonly number[];
  readonly gradientBytes: number;
  readonly heldOutLoss: number;
  readonly exactMatch: number;
}

const RUNS: readonly Run[] = [
  { name: "exact", change: {} },
  { name: "int8", change: { fleet: { gradient_codec: "int8" } } },
  { name: "exact, seed 43", change: { seed: 43 } },
];

const assets = join(repositoryRoot, "deploy/demo/assets");

async function train({ name, change }: Run, options: DemoOptions): Promise<Trained> {
  const folder = await Deno.makeTempDir({ prefix: "lorafleet-codecs-" });
  const logFolder = join(folder, "logs");
  await Deno.mkdir(logFolder);
  const children = new Children(logFolder, systemClock);
  const stopper = new AbortController();
  const env = Deno.env.toObject();
  try {
    const fleet = await startFleet({
      ...{ children, env, clock: systemClock, signal: stopper.signal, workerCount: options.workerCount },
      dataFolder: join(folder, "coordinator"),
      modelRoot: dirname(options.modelFolder),
      onWorkerLost: (message) => console.error(message),
    });
    const { api } = fleet;
    const file = await api.uploadDataset(options.datasetPath, "train.jsonl");
    const { id } = await api.createJob({ ...jobRequest(options, file.id), ...change });
    const losses: number[] = [];
    let gradientBytes = 0;
    for await (const event of api.events(id)) {
      if (event.kind === "metrics") {
        losses.push(event.metrics.train_loss);
        gradientBytes = event.metrics.gradient_bytes_sent;
      } else if (event.level !== "info") console.error(event.message);
    }
    const job = await api.job(id);
    if (job.status !== "succeeded") throw new Error(`${name} has ${job.status}: ${job.error?.message}`);
    const adapterFolder = join(folder, "adapter");
    await Deno.mkdir(adapterFolder);
    for (const stored of await Promise.all(job.result_files.map((result) => api.describeFile(result)))) {
      const path = join(adapterFolder, stored.filename.split("/").at(-1)!);
      await Deno.writeFile(path, await api.downloadFile(stored.id));
    }
    await fleet.stop();
    const score = await evaluate(children, {
      name: "evaluate",
      script: join(repositoryRoot, "worker/evaluate.ts"),
      modelFolder: options.modelFolder,
      adapterFolder,
      datasetPath: options.evalDatasetPath!,
      maxNewTokens: maxNewTokens(options),
      resultPath: join(folder, "score.json"),
    }, env);
    const { eval_loss: heldOutLoss, exact_match: exactMatch } = score;
    return { name, gpuNames: fleet.gpuNames, losses, gradientBytes, heldOutLoss, exactMatch };
  } finally {
    stopper.abort();
    await children.close();
    await Deno.remove(folder, { recursive: true });
  }
}

function table(all: readonly Trained[]): string {
  const cells = (first: string, rest: readonly string[]) =>
    first.padEnd(22) + rest.map((cell) => cell.padStart(16)).join("");
  const steps = all[0]!.losses.map((_, index) => index).filter((index) => index % 5 === 4 || index === 0);
  return [
    cells("", all.map(({ name }) => name)),
    ...steps.map((index) =>
      cells(`loss at step ${index + 1}`, all.map(({ losses }) => losses[index]!.toFixed(4)))
    ),
    cells("held-out loss", all.map(({ heldOutLoss }) => heldOutLoss.toFixed(4))),
    cells("held-out exact match", all.map(({ exactMatch }) => exactMatch.toFixed(3))),
    cells("gradient bytes", all.map(({ gradientBytes }) => String(gradientBytes))),
  ].join("\n");
}

if (import.meta.main) {
  const { values } = parseArgs({
    args: Deno.args,
    options: { workers: { type: "string", default: "2" }, steps: { type: "string", default: "40" } },
  });
  const options: DemoOptions = {
    modelFolder: join(assets, "base"),
    datasetPath: join(assets, "train.jsonl"),
    evalDatasetPath: join(assets, "held_out.jsonl"),
    workerCount: Number(values.workers),
    maxSteps: Number(values.steps),
    outFolder: "",
    ownModel: false,
    ownDataset: false,
  };
  const trained: Trained[] = [];
  for (const run of RUNS) trained.push(await train(run, options));
  const gpus = trained[0]!.gpuNames.join(" and ");
  console.log(`deno ${Deno.version.deno}, the demo's job on ${gpus}\n${table(trained)}`);
}
