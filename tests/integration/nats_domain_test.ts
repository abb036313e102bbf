/**
 * Coordinator and workers at a leaf node that has streams of its own, in the domain "edge"; those of the fleet are in the domain
 * "hub", at the server behind it.
 */
import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import { natsBinaries } from "../../coordinator/broker/nats_binaries_fixture.ts";
import { assertUsable } from "../../coordinator/start/probe_broker.ts";
import { systemClock } from "../../shared/clock.ts";
import { LoraFleetError } from "../../shared/errors.ts";
import { freePort, jobOf, startCoordinatorChild, submitJob, until, withFolder } from "./coordinator_child.ts";
import { startToyWorker } from "./toy_worker.ts";

const TRAINING = { max_steps: 6, gradient_accumulation_steps: 4, learning_rate: 1e-2, save_strategy: "no" };

interface Servers extends AsyncDisposable {
  readonly leafUrl: string;
  /** The streams that a server has, by its monitoring. */
  streamsOf(server: "hub" | "edge"): Promise<string[]>;
}

async function startServers(folder: string): Promise<Servers> {
  const [hub, leafs, edge, hubHttp, edgeHttp] = Array.from({ length: 5 }, freePort);
  const max = "max_payload: 8388608";
  const configurations = {
    hub: `server_name: hub\nlisten: "127.0.0.1:${hub}"\nhttp: "127.0.0.1:${hubHttp}"\n${max}
jetstream { store_dir: "${folder}/hub", domain: hub }
leafnodes { listen: "127.0.0.1:${leafs}" }\n`,
    edge: `server_name: edge\nlisten: "127.0.0.1:${edge}"\nhttp: "127.0.0.1:${edgeHttp}"\n${max}
jetstream { store_dir: "${folder}/edge", domain: edge }
leafnodes { remotes: [ { url: "nats-leaf://127.0.0.1:${leafs}" } ] }\n`,
  };
  const { binary } = natsBinaries()[0]!;
  const children: Deno.ChildProcess[] = [];
  const monitoring = { hub: hubHttp!, edge: edgeHttp! };
  const ask = async (server: "hub" | "edge", path: string) => {
    const response = await fetch(`http://127.0.0.1:${monitoring[server]}/${path}`).catch(() => null);
    return response === null ? null : await response.json();
  };
  for (const [name, text] of Object.entries(configurations)) {
    await Deno.writeTextFile(`${folder}/${name}.conf`, text);
    const args = ["--config", `${folder}/${name}.conf`, "--log", `${folder}/${name}.log`];
    children.push(new Deno.Command(binary, { args, stdin: "null", stdout: "null", stderr: "null" }).spawn());
  }
  await until("the leaf's connection", async () => (await ask("hub", "leafz"))?.leafnodes === 1);
  return {
    leafUrl: `nats://127.0.0.1:${edge}`,
    async streamsOf(server) {
      const { account_details = [] } = await ask(server, "jsz?streams=true");
      return account_details.flatMap(({ stream_detail = [] }: { stream_detail?: { name: string }[] }) =>
        stream_detail.map(({ name }) => name)
      );
    },
    async [Symbol.asyncDispose]() {
      for (const child of children) child.kill("SIGKILL");
      await Promise.all(children.map((child) => child.status));
    },
  };
}

Deno.test("with --nats-domain the streams are those of the hub, for coordinator and workers behind a leaf node", () =>
  withFolder(async (folder) => {
    await using servers = await startServers(folder);
    const args = ["--nats-url", servers.leafUrl, "--nats-domain", "hub"];
    await using coordinator = startCoordinatorChild(`${folder}/data`, args);
    const joinUrl = await coordinator.joinUrl();
    await using workers = new AsyncDisposableStack();
    for (const name of ["w-a", "w-b"]) {
      const worker = startToyWorker({ name, joinUrl, cacheFolder: `${folder}/cache`, gradientMs: 15 });
      workers.defer(() => worker.stop());
    }
    const api = coordinator.api();
    const jobId = await submitJob(api, TRAINING);
    await until("the first steps", async () => (await jobOf(api, jobId)).step >= 2, coordinator.stderr);
    const atHub = await servers.streamsOf("hub");
    assert(atHub.includes("KV_lf_leader"), atHub.join());
    assert(atHub.some((name) => name.includes(jobId.split("-")[1]!)), atHub.join());
    assertEquals(await servers.streamsOf("edge"), []);
    await until(
      "the job's end",
      async () => (await jobOf(api, jobId)).status === "succeeded",
      coordinator.stderr,
    );
  }));

Deno.test("a domain that nobody has is named, with what it needs", () =>
  withFolder(async (folder) => {
    await using servers = await startServers(folder);
    const broker = { url: servers.leafUrl, user: null, password: null, credsPath: null, identities: null };
    const look = (domain: string) =>
      assertUsable({ ...broker, domain }, null, { clock: systemClock, log: () => {} }, 1000);
    await look("hub");
    const error = await assertRejects(() => look("hbu"), LoraFleetError);
    assertEquals([error.code, error.param], ["timeout", "nats-domain"]);
    assertMatch(
      error.message,
      /^no JetStream of the domain "hbu" \(--nats-domain\) answers at the broker nats:.*jetstream \{ domain: … \} with this name/,
    );
  }));
