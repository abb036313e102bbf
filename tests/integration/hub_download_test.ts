/** A coordinator downloads a job's base model from a hub and is killed in the middle. */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { dirname, fromFileUrl, join } from "@std/path";
import { type Hub, startHub } from "../hub/hub.ts";
import {
  freePort,
  jobOf,
  messagesOf,
  startCoordinatorChild,
  submitJob,
  until,
  withFolder,
} from "./coordinator_child.ts";

const root = dirname(dirname(dirname(fromFileUrl(import.meta.url))));
const base = join(root, "deploy/demo/assets/base");
const OBJECT = /^GET \/cdn\//;

async function hubWithBase(): Promise<Hub> {
  const hub = await startHub();
  const names = (await Array.fromAsync(Deno.readDir(base))).map(({ name }) => name);
  await hub.add(
    "model",
    "org/base",
    Object.fromEntries(names.map((name) => [name, { path: join(base, name) }])),
  );
  return hub;
}

Deno.test("kill the coordinator during a download: the next one goes on from its bytes", () =>
  withFolder(async (folder) => {
    await using hub = await hubWithBase();
    hub.faults.add({ on: OBJECT, kind: "slow", pauseMs: 150 });
    const port = freePort();
    const cache = join(folder, "hub");
    const env = { HF_ENDPOINT: hub.endpoint, HF_HUB_CACHE: cache, HF_HOME: folder, HF_HUB_OFFLINE: "0" };
    const start = () => startCoordinatorChild(join(folder, "data"), ["--port", String(port)], env);
    const blobs = join(cache, "models--org--base/blobs");
    const incomplete = async () => {
      const entries = await Array.fromAsync(Deno.readDir(blobs)).catch(() => []);
      const part = entries.find(({ name }) => name.endsWith(".incomplete"));
      return part === undefined ? 0 : (await Deno.stat(join(blobs, part.name)).catch(() => null))?.size ?? 0;
    };
    let id = "";
    let kept = 0;
    {
      await using first = start();
      await first.joinUrl();
      id = await submitJob(first.api(), { max_steps: 4 }, {}, { model: "org/base@main" });
      await until("a part of the weights", async () => await incomplete() > 150_000);
      first.kill("SIGKILL");
      await first.ended;
      kept = await incomplete();
    }
    assert(kept > 150_000, `${kept}`);
    await using second = start();
    await second.joinUrl();
    const api = second.api();
    await until("the job's queue", async () => (await jobOf(api, id)).status !== "validating_files");
    const job = await jobOf(api, id);
    assertEquals([job.error, ["queued", "running"].includes(job.status)], [null, true], job.status);
    assertEquals(hub.asked(OBJECT).at(-1)!.split(" ").at(-1), `bytes=${kept}-`);
    const messages = await messagesOf(api, id);
    assert(
      messages.some((message) => /^Downloading [\d.]+ MB of org\/base@main\.$/.test(message)),
      messages.join(),
    );
    assert(
      messages.some((message) => /^Downloaded [\d.]+ MB of org\/base@main\.$/.test(message)),
      messages.join(),
    );
    assertEquals(await incomplete(), 0);
  }));

Deno.test("a gated base model without a token is refused before the job exists, with what to do", () =>
  withFolder(async (folder) => {
    await using hub = await hubWithBase();
    hub.repo("model", "org/base").gated = "manual";
    const env = { HF_ENDPOINT: hub.endpoint, HF_HUB_CACHE: join(folder, "hub"), HF_HOME: folder };
    await using coordinator = startCoordinatorChild(join(folder, "data"), [], env);
    await coordinator.joinUrl();
    const submit = (model: string) =>
      submitJob(coordinator.api(), { max_steps: 4 }, {}, { model }).then(
        () => "",
        (thrown) => thrown.message,
      );
    assertMatch(
      await submit("org/base"),
      /"org\/base\\" is gated: accept its licence at http:\S+\/org\/base and set HF_TOKEN/,
    );
    assertMatch(await submit("org/none"), /no base model .*org\/none.* tried: .*status 401/);
    hub.repo("model", "org/base").gated = false;
    assertMatch(await submit("org/base@gone"), /has no revision \\"gone\\"/);
  }));
