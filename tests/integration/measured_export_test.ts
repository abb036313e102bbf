/**
 * What follows a job, on a real fleet: the job asks for a merged model and its push, the worker that trained it measures the merge
 * without anyone asking, and the card on the hub has the numbers.
 */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { join } from "@std/path";
import { z } from "zod";
import { Children } from "../../deploy/machine/children.ts";
import { repositoryRoot, startFleet } from "../../deploy/machine/fleet.ts";
import { systemClock } from "../../shared/clock.ts";
import { driftSchema } from "../../shared/protocol/messages_measure.ts";
import { bytesOf } from "../hub/content.ts";
import { startHub, WRITER_TOKEN } from "../hub/hub.ts";

const assets = join(repositoryRoot, "deploy/demo/assets");
const PATIENCE_MS = 120_000;

const fileSchema = z.object({ id: z.string() });
const exportsSchema = z.object({
  data: z.array(z.object({
    id: z.string(),
    status: z.string(),
    drift: driftSchema.nullable(),
    measurement: z.object({
      status: z.string(),
      worker: z.string().nullable(),
      reason: z.string().nullable(),
    })
      .nullable(),
    push: z.object({ status: z.string(), error: z.unknown() }).nullable(),
  })),
});
const eventsSchema = z.object({ data: z.array(z.object({ message: z.string() })) });

type Api = Awaited<ReturnType<typeof startFleet>>["api"];

async function upload(api: Api, name: string, lines: readonly string[]): Promise<string> {
  const form = new FormData();
  form.set("purpose", "fine-tune");
  form.set("file", new File([lines.join("\n")], name));
  return fileSchema.parse(await api.json("/v1/files", { method: "POST", body: form })).id;
}

async function trainAndFollow(api: Api) {
  const rows = (await Deno.readTextFile(join(assets, "train.jsonl"))).trim().split("\n");
  const job = await api.createJob({
    model: join(assets, "base"),
    training_file: await upload(api, "train.jsonl", rows.slice(0, 60)),
    validation_file: await upload(api, "valid.jsonl", rows.slice(60, 66)),
    lora: { r: 4, lora_alpha: 8, target_modules: "all-linear" },
    training: {
      ...{ max_steps: 2, learning_rate: 1e-3, warmup_ratio: 0, save_strategy: "no" },
      ...{ push_to_hub: true, hub_model_id: "org/spelling", hub_kind: "merged" },
    },
    dataset: { max_seq_length: 64 },
    exports: [{ kind: "merged", base: "original" }],
  });
  for await (const _ of api.events(job.id)); // until it is over
  const path = `/v1/fine_tuning/jobs/${job.id}`;
  const until = systemClock.now() + PATIENCE_MS;
  for (;;) {
    const [found] = exportsSchema.parse(await api.json(`${path}/exports`)).data;
    const isOver = found?.push?.status === "succeeded" || found?.push?.status === "failed";
    const events = async () => eventsSchema.parse(await api.json(`${path}/events?limit=200`)).data;
    if (isOver) return { ...found, messages: (await events()).map(({ message }) => message).reverse() };
    if (systemClock.now() > until) throw new Error(JSON.stringify([found, await events()], null, 2));
    await systemClock.sleep(300);
  }
}

Deno.test("a job's merge is measured by its worker and pushed with the numbers in its card", async () => {
  await using hub = await startHub();
  const folder = await Deno.makeTempDir({ prefix: "lorafleet-after-test-" });
  await Deno.mkdir(join(folder, "logs"));
  const children = new Children(join(folder, "logs"), systemClock);
  const stopper = new AbortController();
  try {
    const fleet = await startFleet({
      ...{ children, workerCount: 1, signal: stopper.signal, clock: systemClock },
      env: {
        ...Deno.env.toObject(),
        HF_ENDPOINT: hub.endpoint,
        HF_TOKEN: WRITER_TOKEN,
        HF_HOME: join(folder, "hf"),
      },
      ...{ dataFolder: join(folder, "coordinator"), modelRoot: assets, ignoreGpu: true },
      onWorkerLost: (message) => {
        throw new Error(message);
      },
    });
    const { drift, measurement, push, messages } = await Promise.race([
      trainAndFollow(fleet.api),
      fleet.broken,
    ]);
    assertEquals([push, measurement?.status], [{ ...push, status: "succeeded", error: null }, "succeeded"]);
    assertMatch(measurement!.worker!, /^w-/);
    assert(drift !== null);
    assertEquals([drift.rows, drift.rows_available, drift.rows_of], [6, 6, "validation"]);
    assert(drift.logit_mean_abs > 0 && drift.kl_mean > 0, "the original base is not the one of the training");
    assert(drift.exact_match_base !== undefined);

    const card = new TextDecoder().decode(
      await bytesOf(hub.repo("model", "org/spelling").tree().get("README.md")!.content),
    );
    assertMatch(
      card,
      /On 6 validation rows with \d+ labels, against the NF4 base with the adapter beside it:/,
    );
    assert(
      card.includes(`| Kullback-Leibler divergence per token, mean | ${drift.kl_mean.toPrecision(3)} |`),
      card,
    );
    const at = (pattern: RegExp) => messages.findIndex((message) => pattern.test(message));
    assert(at(/is measured by w-/) > 0, messages.join("\n"));
    assert(at(/is measured by w-/) < at(/is being pushed to org\/spelling/), messages.join("\n"));
    await fleet.stop();
  } finally {
    stopper.abort();
    await children.close();
    await Deno.remove(folder, { recursive: true });
  }
});
