/** Sends the example run to the MLflow server at the given URL and prints the run's place. */
import { readTrackerSettings } from "../../../coordinator/config/tracker_settings.ts";
import { createTrackers } from "../../../coordinator/trackers/trackers.ts";
import { deliverExample, FACTS } from "./example_run.ts";

if (import.meta.main) {
  const environment: Record<string, string> = {
    MLFLOW_TRACKING_URI: Deno.args[0] ?? "",
    MLFLOW_EXPERIMENT_NAME: "lorafleet example",
  };
  const { mlflow } = createTrackers(readTrackerSettings((name) => environment[name] ?? null, "/tmp"));
  if ("missing" in mlflow) throw new Error(mlflow.missing);
  await mlflow.settings.check(FACTS.tracking, AbortSignal.timeout(5000));
  // The run whose creation was not noted is found again.
  await mlflow.settings.open(FACTS).send({ points: [], end: null }, null, new AbortController().signal);
  const run = mlflow.settings.open(FACTS);
  console.log(run.placeOf((await deliverExample(run))!));
}
