/** What the images run: coordinator and worker from one entry point, their health checks, and the end by a signal. */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { dirname, fromFileUrl, join } from "@std/path";
import { freePort, until, withFolder } from "./coordinator_child.ts";

const containers = join(dirname(dirname(dirname(fromFileUrl(import.meta.url)))), "deploy/containers");

async function run(script: string, args: readonly string[], env: Readonly<Record<string, string>>) {
  const command = ["run", "-A", "-q", "--no-prompt", join(containers, script), ...args];
  const { code, stderr } = await new Deno.Command(Deno.execPath(), { args: command, env }).output();
  return { code, message: new TextDecoder().decode(stderr) };
}

Deno.test("one entry point starts coordinator and worker, both become healthy, and SIGTERM ends both", () =>
  withFolder(async (folder) => {
    const env = {
      NO_COLOR: "1",
      LORAFLEET_PORT: String(freePort()),
      LORAFLEET_NATS_PORT: String(freePort()),
      LORAFLEET_DATA_FOLDER: `${folder}/data`,
      LORAFLEET_CACHE_FOLDER: `${folder}/cache`,
      LORAFLEET_ALIVE_FILE: `${folder}/alive`,
      LORAFLEET_API_KEY: "a-key-of-the-pod",
      LORAFLEET_ALLOW_CPU: "1",
    };
    const before = await run("healthy.ts", ["coordinator"], env);
    assertEquals(before.code, 1);
    assertMatch(before.message, /^coordinator: /);
    assertEquals((await run("healthy.ts", ["worker"], env)).code, 1);

    const pod = new Deno.Command(Deno.execPath(), {
      args: ["run", "-A", "-q", "--no-prompt", join(containers, "pod.ts")],
      ...{ env, stdin: "null", stdout: "piped", stderr: "piped" },
    }).spawn();
    const output = pod.output();
    try {
      const isHealthy = async () => (await run("healthy.ts", ["coordinator", "worker"], env)).code === 0;
      await until("both to be healthy", isHealthy);
      const headers = { authorization: `Bearer ${env.LORAFLEET_API_KEY}` };
      const workers = await fetch(`http://127.0.0.1:${env.LORAFLEET_PORT}/v1/workers`, { headers });
      assertEquals((await workers.json()).data.map(({ state }: { state: string }) => state), ["ready"]);
    } finally {
      pod.kill("SIGTERM");
    }
    const { code, stderr } = await output;
    const log = new TextDecoder().decode(stderr);
    assertEquals(code, 0, log);
    assert(log.includes("left the fleet"), log);
    const gone = await fetch(`http://127.0.0.1:${env.LORAFLEET_PORT}/healthz`).catch(() => null);
    assertEquals(gone, null, "the coordinator still runs");
  }));

Deno.test("a pod with one port uses the coordinator inside, though its public address leads nowhere from there", () =>
  withFolder(async (folder) => {
    const port = String(freePort());
    const env = {
      NO_COLOR: "1",
      ...{ LORAFLEET_PORT: port, LORAFLEET_NATS_PORT: String(freePort()), LORAFLEET_ONE_PORT: "1" },
      LORAFLEET_PUBLIC_URL: "https://pod.invalid",
      LORAFLEET_DATA_FOLDER: `${folder}/data`,
      LORAFLEET_CACHE_FOLDER: `${folder}/cache`,
      LORAFLEET_ALLOW_CPU: "1",
    };
    const pod = new Deno.Command(Deno.execPath(), {
      args: ["run", "-A", "-q", "--no-prompt", join(containers, "pod.ts")],
      ...{ env, stdin: "null", stdout: "piped", stderr: "piped" },
    }).spawn();
    const output = pod.output();
    try {
      await until("the worker", async () => {
        const answer = await fetch(`http://127.0.0.1:${port}/v1/workers`).then(
          (one) => one.json(),
          () => null,
        );
        return answer?.data[0]?.state === "ready";
      });
    } finally {
      pod.kill("SIGTERM");
    }
    const { code, stderr, stdout } = await output;
    assertEquals(code, 0, new TextDecoder().decode(stderr));
    assertMatch(new TextDecoder().decode(stdout), /--join https:\/\/pod\.invalid\/join\//);
  }));
