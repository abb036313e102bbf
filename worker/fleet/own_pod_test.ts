import { assertEquals, assertMatch } from "@std/assert";
import { createFakeClock } from "../../shared/testing/fake_clock.ts";
import { removeFailedPod, removeOwnPod } from "./own_pod.ts";

const POD = { id: "7h9k2m4n6p", apiKey: "rpa_secret", apiUrl: "https://api.runpod.io" };

/** A status, or GraphQL's body. */
type Answer = number | Error | object;

/** Answers in their order; the last one for ever. */
async function remove(answers: readonly Answer[]) {
  const requests: string[] = [];
  let count = 0;
  const log: string[] = [];
  const clock = createFakeClock();
  const fetch = (url: URL | RequestInfo, init?: RequestInit) => {
    requests.push(`${init?.method} ${url} ${new Headers(init?.headers).get("authorization")}`);
    const answer = answers[Math.min(++count, answers.length) - 1]!;
    if (answer instanceof Error) return Promise.reject(answer);
    if (typeof init?.body === "string") requests.push(init.body);
    return Promise.resolve(
      typeof answer === "number" ? new Response(null, { status: answer }) : Response.json(answer),
    );
  };
  let removed: boolean | undefined;
  removeOwnPod(POD, { fetch, clock, log: (level, message) => void log.push(`${level} ${message}`) })
    .then((found) => removed = found);
  await clock.advance(120_000);
  return { requests, log: log.join("\n"), removed };
}

Deno.test("a pod is removed with its own key", async () => {
  const { requests, removed } = await remove([204]);
  assertEquals(requests, ["DELETE https://api.runpod.io/v2/pods/7h9k2m4n6p Bearer rpa_secret"]);
  assertEquals(removed, true);
});

Deno.test("a removal is repeated while RunPod is away; a pod that is gone counts as removed", async () => {
  const { requests, removed } = await remove([new TypeError("refused"), 503, 404]);
  assertEquals([requests.length, removed], [3, true]);
});

Deno.test("a key that REST v2 refuses removes the pod as runpodctl does", async () => {
  const { requests, removed } = await remove([403, { data: { podTerminate: null } }]);
  assertEquals(requests.slice(1), [
    "POST https://api.runpod.io/graphql Bearer rpa_secret",
    '{"query":"mutation Terminate($input: PodTerminateInput!) { podTerminate(input: $input) }",' +
    '"variables":{"input":{"podId":"7h9k2m4n6p"}}}',
  ]);
  assertEquals(removed, true);
});

Deno.test("a key that may not remove the pod is not tried again, and the log says what to do", async () => {
  const { requests, log, removed } = await remove([403, {
    errors: [{ message: "Unauthorized" }],
    data: null,
  }]);
  assertEquals([requests.length, removed], [3, false]);
  assertMatch(
    log,
    /removing pod 7h9k2m4n6p failed: RunPod answers 403, and to podTerminate Unauthorized\nerror/,
  );
  assertMatch(log, /error pod 7h9k2m4n6p still costs money: remove it with deno task deploy:runpod down/);
  assertEquals(log.includes("rpa_secret"), false);
  assertMatch((await remove([401, 500])).log, /RunPod answers 401, and to podTerminate 500/);
});

Deno.test("a RunPod that stays away is given up", async () => {
  const { requests, removed } = await remove([500]);
  assertEquals([requests.length, removed], [6, false]);
});

Deno.test("the log of a worker that has failed can be read for five minutes, then its pod is removed", async () => {
  const clock = createFakeClock();
  const log: string[] = [];
  let removedAt: number | null = null;
  const fetch = () => {
    removedAt = clock.now();
    return Promise.resolve(new Response(null, { status: 204 }));
  };
  removeFailedPod(POD, "no GPU", {
    fetch,
    clock,
    log: (level, message) => void log.push(`${level} ${message}`),
  });
  await clock.advance(299_999);
  assertEquals([log, removedAt], [["error no GPU; this pod is removed in 5 min"], null]);
  await clock.advance(1);
  assertEquals(removedAt, 300_000);
});
