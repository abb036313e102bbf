/** Writes the example run's files below a folder: `write_files.ts FOLDER` prints the folder of the run. */
import { metricsJsonl } from "../../../coordinator/trackers/metrics_jsonl.ts";
import { tensorboard } from "../../../coordinator/trackers/tensorboard/tensorboard.ts";
import { deliverExample, FACTS } from "./example_run.ts";

if (import.meta.main) {
  const [folder = ""] = Deno.args;
  const run = tensorboard(`${folder}/tensorboard`).open(FACTS);
  await deliverExample(metricsJsonl(`${folder}/jsonl`).open(FACTS));
  const state = await deliverExample(run);
  console.log(run.placeOf(state!));
}
