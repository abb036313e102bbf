/** Prints the traces of a short job on two workers: what a step's time is made of, besides a toy's computing. */
import { withFolder } from "../integration/coordinator_child.ts";
import { traceTree } from "../integration/otlp_recorder.ts";
import { traceJob } from "../integration/traced_fleet.ts";

await withFolder(async (folder) => {
  const { spans } = await traceJob(folder, 3);
  console.log(`Deno ${Deno.version.deno}; toy engine, 20 ms a micro-batch; times since the first span\n`);
  console.log(traceTree(spans).join("\n"));
});
Deno.exit(0);
