import { assertEquals, assertMatch } from "@std/assert";
import { createFakeClock } from "../../shared/testing/fake_clock.ts";
import { removeFailedPod, removeOwnPod } from "./own_pod.ts";

const POD = { id: "7h9k2m4n6p", apiKey: "rpa_secret", apiUrl: "https://api.runpod.io" };

/** Answers in their order; the last one for ever. */
async function remove(answers: readonly (number | Error)[]) {
  const requests: string[] = [];
  const log: string[] = [];
  const clock = createFakeClock();
  const fetch = (url: URL | RequestInfo, init?: RequestInit) => {
    requests.push(`${init?.method} ${url} ${new Headers(init?.headers).get("authorization")}`);
    const answer = answers[Math.min(requests.length, answers.length) - 1]!;
    return answer instanceof Error
      ? Promise.reject(answer)
      : Promise.resolve(new Response(null, { status: answer }));
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

Deno.test("a key that may not remove the pod is not tried again, and the log says what to do", async () => {
  const { requests, log, removed } = await remove([403]);
  assertEquals([requests.length, removed], [1, false]);
  assertMatch(log, /removing pod 7h9k2m4n6p failed: RunPod answers 403/);
  assertMatch(log, /error pod 7h9k2m4n6p still costs money: remove it with deno task deploy:runpod down/);
  assertEquals(log.includes("rpa_secret"), false);
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
