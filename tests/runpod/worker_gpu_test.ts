/** A worker process on a pod, as `up` starts it: it leaves when it has nothing to do, and its pod is gone. */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { fromFileUrl } from "@std/path";
import { systemClock } from "../../shared/clock.ts";
import { TestRunPod } from "./test_runpod.ts";

const SCRIPT = fromFileUrl(new URL("../../worker/main.ts", import.meta.url));

Deno.test("a worker removes its pod with the pod's own key: without work, and at the time that its owner has set", async (t) => {
  const runpod = new TestRunPod(systemClock);
  const answer = (request: Request) =>
    new URL(request.url).pathname.startsWith("/join/")
      ? new Response(null, { status: 503 })
      : runpod.fetch(request);
  await using server = Deno.serve({ port: 0, hostname: "127.0.0.1", onListen: () => {} }, answer);
  const url = `http://127.0.0.1:${server.addr.port}`;
  const rules = {
    LORAFLEET_LEAVE_WHEN_IDLE: ["0.01", "no job has run here for 0.01 min"],
    LORAFLEET_LEAVE_AT: ["2026-01-31T18:00:00Z", "it is past 2026-01-31T18:00:00.000Z"],
  };
  for (const [name, [value, reason]] of Object.entries(rules)) {
    await t.step(name, async () => {
      const pod = runpod.pods.rent({
        ...{ name: "lorafleet.default.any.a", image: "x", gpuId: "NVIDIA A40", cloud: "SECURE" },
        ...{ isSpot: false, dollarsPerHour: 0.4 },
      })!;
      const { code, stderr } = await new Deno.Command(Deno.execPath(), {
        args: ["run", "-q", "--no-prompt", "-P=worker", SCRIPT, "--allow-cpu"],
        env: {
          ...{ LORAFLEET_JOIN: `${url}/join/token123`, LORAFLEET_RUNPOD_API: url, LORAFLEET_REMOVE_POD: "1" },
          ...{ RUNPOD_POD_ID: pod.id, RUNPOD_API_KEY: `pod-key-${pod.id}`, [name]: value! },
        },
        ...{ stdin: "null", stdout: "piped", stderr: "piped" },
      }).output();
      const log = new TextDecoder().decode(stderr);
      assertEquals([code, runpod.pods.left], [0, []], log);
      assertStringIncludes(log, `leaving: ${reason}`);
      assertStringIncludes(log, `pod ${pod.id} is removed`);
      assert(!log.includes("pod-key"));
    });
  }
});
