import { assertEquals } from "@std/assert";
import { cacheNameOf, parseHubName, pathOf, snapshotOf } from "./repo_name.ts";

Deno.test("hub names", () => {
  const model = { type: "model", repo: "org/name" } as const;
  assertEquals(parseHubName("org/name"), { ...model, revision: "main" });
  assertEquals(parseHubName("org/name@refs/pr/1"), { ...model, revision: "refs/pr/1" });
  assertEquals(parseHubName("org/na.me-7B@v1.0"), { type: "model", repo: "org/na.me-7B", revision: "v1.0" });
  const others = [
    "name",
    "/a/b",
    "a/b/c",
    "./a",
    "a/..b",
    "a/b@",
    "a/b@../c",
    "a/b@c/",
    "a/b@c//d",
    "a/b@c@d",
  ];
  for (const other of [...others, "a b/c", "a/b?c", "a/b@/c"]) assertEquals(parseHubName(other), null, other);
});

Deno.test("a repository's places at the hub and in the cache", () => {
  const rows = { type: "dataset", repo: "org/rows", revision: "main" } as const;
  assertEquals([pathOf(rows), cacheNameOf(rows)], ["datasets/org/rows", "datasets--org--rows"]);
  const commit = "0123456789abcdef0123456789abcdef01234567";
  const cache = "/home/me/hub/models--meta-llama--Llama-2-7b-hf";
  assertEquals(snapshotOf(`${cache}/snapshots/${commit}`), { repo: "meta-llama/Llama-2-7b-hf", commit });
  assertEquals(snapshotOf(`C:\\hub\\models--a--b\\snapshots\\${commit}\\`), { repo: "a/b", commit });
  for (
    const other of ["models/tiny", cache, `/hub/a/snapshots/${commit}`, `${cache}/snapshots/${commit}/x`]
  ) {
    assertEquals(snapshotOf(other), null, other);
  }
});
