/** The hub as a process: `main.ts <folder>` prints its endpoint and serves until it is killed. */
import { startHub } from "./hub.ts";

const hub = await startHub(Deno.args[0] ?? null, { pageSize: 3 });
for (const id of ["org/gated"]) {
  if (hub.state.repos.has(`models/${id}`)) hub.repo("model", id).gated = "manual";
}
for (const repo of hub.state.repos.values()) {
  const converted = [...repo.tree()].filter(([path]) => path.startsWith("converted/"));
  if (converted.length === 0) continue;
  repo.commit(new Map(converted.map(([path]) => [path, null])));
  repo.commit(
    new Map(converted.map(([path, file]) => [path.slice("converted/".length), file])),
    "refs/convert/parquet",
  );
}
console.log(hub.endpoint);
