import { assertEquals } from "@std/assert";
import { hubUrl } from "./hub_url.ts";

const HUB = { endpoint: "https://hub.example", token: null, offline: false };
const COMMIT = "0123456789abcdef0123456789abcdef01234567";

Deno.test("a snapshot of the hub's cache names repository and commit", () => {
  assertEquals(
    hubUrl(`/home/me/hub/models--meta-llama--Llama-2-7b-hf/snapshots/${COMMIT}`, "config.json", HUB),
    `https://hub.example/meta-llama/Llama-2-7b-hf/resolve/${COMMIT}/config.json`,
  );
});

Deno.test("no other folder leads to the hub, and no folder does offline", () => {
  const snapshot = `/hub/models--a--b/snapshots/${COMMIT}`;
  assertEquals(hubUrl(snapshot, "config.json", { ...HUB, offline: true }), null);
  for (
    const folder of [
      "models/Llama-2-7b-hf",
      "/hub/models--a--b",
      `/hub/a/snapshots/${COMMIT}`,
      `${snapshot}/x`,
    ]
  ) {
    assertEquals(hubUrl(folder, "config.json", HUB), null, folder);
  }
});
