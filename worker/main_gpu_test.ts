/** The worker as a process: its messages and exit codes without a fleet. */
import { assertEquals, assertStringIncludes } from "@std/assert";
import { fromFileUrl } from "@std/path";

const SCRIPT = fromFileUrl(new URL("./main.ts", import.meta.url));

function command(args: readonly string[], env: Record<string, string> = {}) {
  return new Deno.Command(Deno.execPath(), {
    args: ["run", "-q", "--no-prompt", "-P=worker", SCRIPT, ...args],
    env,
    stdout: "piped",
    stderr: "piped",
  });
}

async function run(args: readonly string[], env: Record<string, string> = {}) {
  const { code, stdout, stderr } = await command(args, env).output();
  const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
  return { code, stdout: text(stdout), stderr: text(stderr) };
}

Deno.test("help and a wrong command line", async () => {
  const help = await run(["--help"]);
  assertEquals(help.code, 0);
  assertStringIncludes(help.stdout, "Usage: deno task worker --join <url>");
  const wrong = await run([], { LORAFLEET_JOIN: "" });
  assertEquals(wrong.code, 2);
  assertStringIncludes(wrong.stderr, "--join is missing");
});

Deno.test("without a GPU the worker names what is missing, and that is not a usage error", async () => {
  // A driver list that names no driver: Vulkan finds no GPU, and not the one that computes on the CPU either.
  const env = { VK_DRIVER_FILES: "/dev/null", VK_ICD_FILENAMES: "/dev/null", LORAFLEET_ALLOW_CPU: "" };
  const { code, stderr } = await run(["--join", "http://127.0.0.1:9/join/token"], env);
  assertEquals(code, 1, stderr);
  assertStringIncludes(stderr, "Opening the GPU failed");
  assertStringIncludes(stderr, "--allow-cpu");
});

Deno.test("a refused token ends it with 1; signals end it while it waits for a coordinator", async (t) => {
  let status = 401;
  await using server = Deno.serve(
    { port: 0, hostname: "127.0.0.1", onListen: () => {} },
    () => Response.json({ error: {} }, { status }),
  );
  const args = ["--join", `http://127.0.0.1:${server.addr.port}/join/token`, "--allow-cpu"];
  await t.step("401", async () => {
    const { code, stderr } = await run(args);
    assertEquals(code, 1, stderr);
    assertStringIncludes(stderr, "the coordinator refuses this worker (401)");
  });
  status = 503;
  for (const [signal, expected] of [["SIGTERM", 0], ["SIGINT", 130]] as const) {
    await t.step(signal, async () => {
      const child = command(args).spawn();
      let stderr = "";
      const reader = child.stderr.pipeThrough(new TextDecoderStream()).getReader();
      while (!stderr.includes("trying again")) {
        const { value, done } = await reader.read();
        if (done) break;
        stderr += value;
      }
      child.kill(signal);
      const { code } = await child.status;
      await Promise.all([reader.cancel(), child.stdout.cancel()]);
      assertEquals(code, expected, stderr);
    });
  }
});
