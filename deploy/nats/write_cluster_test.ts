import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import { LoraFleetError } from "../../shared/errors.ts";
import { parseOptions } from "./options.ts";
import { writeCluster } from "./write_cluster.ts";

const NOW = 1_790_000_000;

async function withFolder(body: (folder: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir();
  try {
    await body(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

const optionsIn = (folder: string, ...more: string[]) =>
  parseOptions([
    ...["--server", "127.0.0.1:4222,127.0.0.1:4232,localhost:4242", "--out", folder],
    ...["--config-folder", `${folder}/{name}`, "--store-folder", `${folder}/store/{name}`, ...more],
  ])!;

/** Every file below a folder, by its path in it. */
async function filesIn(folder: string): Promise<Map<string, string>> {
  const files = new Map<string, string>();
  const walk = async (path: string): Promise<void> => {
    for await (const { name, isDirectory } of Deno.readDir(path)) {
      if (isDirectory) await walk(`${path}/${name}`);
      else files.set(`${path}/${name}`.slice(folder.length + 1), await Deno.readTextFile(`${path}/${name}`));
    }
  };
  await walk(folder);
  return files;
}

/** What `nats-server -t` says about a configuration; a version before 2.10 does not know how to sync. */
async function check(path: string): Promise<string> {
  for (const binary of ["nats-server", "/usr/sbin/nats-server", ".cache/bin/nats-server"]) {
    try {
      const args = ["--config", path, "-t"];
      const { stderr, success } = await new Deno.Command(binary, { args, stdin: "null" }).output();
      return success ? "good" : new TextDecoder().decode(stderr);
    } catch (thrown) {
      if (!(thrown instanceof Deno.errors.NotFound)) throw thrown;
    }
  }
  throw new Error('there is no nats-server: run "deno task setup"');
}

Deno.test("nats-server takes every configuration, with TLS and without, for a cluster, one server and a leaf node", () =>
  withFolder(async (folder) => {
    for (const more of [["--leaf", "127.0.0.1:4262"], ["--no-tls", "--leaf", "127.0.0.1:4262"]]) {
      const out = `${folder}/${more.length}`;
      const beside = ["--coordinator-leaf", "127.0.0.1:4272"];
      const { folders } = await writeCluster(optionsIn(out, ...more, ...beside), NOW);
      const names = ["server-1", "server-2", "server-3", "leaf-1", "leaf-coordinator"];
      assertEquals([...folders.keys()], [...names, "coordinator"]);
      for (const name of names) {
        const said = await check(`${out}/${name}/nats-server.conf`);
        if (said !== "good") assertMatch(said, /unknown field "sync_interval"/);
      }
    }
  }));

Deno.test("a later run keeps keys and certificates, and adds what is new", () =>
  withFolder(async (folder) => {
    const first = await writeCluster(optionsIn(folder), NOW);
    const before = await filesIn(folder);
    const second = await writeCluster(optionsIn(folder, "--leaf", "127.0.0.1:4262"), NOW + 1000);
    const after = await filesIn(folder);
    assertEquals([first.isNew, second.isNew], [true, false]);
    for (const [path, text] of before) assertEquals(after.get(path), text, path);
    assert(after.has("leaf-1/fleet.creds") && after.has("leaf-1/cert.pem"));
    // A server's machine gets neither the seeds nor what the coordinator connects with.
    const secrets = Object.values(JSON.parse(after.get("keys.json")!)).filter((value) =>
      /^S/.test(String(value))
    );
    assertEquals(secrets.length, 4);
    for (const [path, text] of after) {
      if (/^(server|leaf)/.test(path)) assert(!secrets.some((secret) => text.includes(String(secret))), path);
    }
    for (const path of after.keys()) {
      const { mode } = await Deno.stat(`${folder}/${path}`);
      assertEquals(mode! & 0o077, 0, path);
    }
  }));

Deno.test("the coordinator's variables name its files and all servers", () =>
  withFolder(async (folder) => {
    const { environment } = await writeCluster(optionsIn(folder), NOW);
    assertEquals(environment, {
      NATS_URL: "tls://127.0.0.1:4222,tls://127.0.0.1:4232,tls://localhost:4242",
      NATS_CREDS: `${folder}/coordinator/streams.creds`,
      NATS_CA: `${folder}/coordinator/ca.pem`,
      LORAFLEET_NATS_ACCOUNT_KEY: `${folder}/coordinator/fleet.nk`,
      LORAFLEET_NATS_OPERATOR_KEY: `${folder}/coordinator/operator.nk`,
      LORAFLEET_NATS_SYSTEM_CREDS: `${folder}/coordinator/system.creds`,
    });
  }));

Deno.test("only the leaf node beside the coordinator carries the streams, and the coordinator asks it for the domain", () =>
  withFolder(async (folder) => {
    const leafs = ["--leaf", "localhost:4262", "--coordinator-leaf", "127.0.0.1:4272", "--no-tls"];
    // Keys of a version that knew no such leaf node.
    await writeCluster(optionsIn(folder, "--no-tls"), NOW);
    const { credentials: { besideCoordinator: _, ...credentials }, ...keys } = JSON.parse(
      await Deno.readTextFile(`${folder}/keys.json`),
    );
    await Deno.writeTextFile(`${folder}/keys.json`, JSON.stringify({ ...keys, credentials }));
    const { environment, isNew } = await writeCluster(optionsIn(folder, ...leafs), NOW);
    const written = await filesIn(folder);
    await writeCluster(optionsIn(folder, ...leafs), NOW + 1000);
    assertEquals(await filesIn(folder), written);
    assertEquals(isNew, false);
    assertEquals([environment["NATS_URL"], environment["LORAFLEET_NATS_DOMAIN"]], [
      "nats://127.0.0.1:4272",
      "hub",
    ]);
    const accounts = (name: string) =>
      written.get(`${name}/nats-server.conf`)!.match(/^ +account: A/gm)?.length;
    assertEquals([accounts("leaf-1"), accounts("leaf-coordinator")], [2, 3]);
    assertEquals([...written.keys()].filter((path) => path.endsWith("streams.creds")).toSorted(), [
      "coordinator/streams.creds",
      "leaf-coordinator/streams.creds",
    ]);
    for (const name of ["server-1", "server-2", "server-3"]) {
      assertMatch(written.get(`${name}/nats-server.conf`)!, /^ {2}domain: "hub"$/m);
    }
  }));

Deno.test("a folder with a different keys.json is left alone", () =>
  withFolder(async (folder) => {
    await Deno.writeTextFile(`${folder}/keys.json`, "{}");
    const error = await assertRejects(() => writeCluster(optionsIn(folder), NOW), LoraFleetError);
    assertMatch(
      error.message,
      /cannot use ".*keys\.json": it does not hold a cluster's keys; name another folder with --out/,
    );
    assertEquals([...(await filesIn(folder)).keys()], ["keys.json"]);
  }));
