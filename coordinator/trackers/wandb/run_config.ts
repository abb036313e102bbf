/** A W&B run's configuration and metadata, with the fields that its client sends. */
import type { RunFacts } from "../run/tracker.ts";
import { STEP_METRIC } from "./history.ts";

/** As the client writes what ran where; here the coordinator, which is no Python. */
export interface Metadata {
  readonly os: string;
  readonly python: string;
  readonly startedAt: string;
  readonly program: string;
  readonly root: string;
  readonly host: string;
  readonly executable: string;
  readonly writerId: string;
}

const RUNTIME = `Deno ${Deno.version.deno}`;
const PLATFORM = `${Deno.build.os}-${Deno.build.arch}`;
const NAME = "lorafleet";

/**
 * `define_metric("train/global_step")` and `define_metric("*", step_metric="train/global_step", step_sync=True)` as the client
 * encodes them: numbers of fields of its MetricRecord, whose 5 is the index of the step's metric from 1.
 */
const METRICS = [{ "1": STEP_METRIC, "6": [3], "7": [] }, { "2": "*", "5": 1, "6": [1], "7": [] }];

export function metadataOf({ jobId, startedAt }: RunFacts): Metadata {
  return {
    os: PLATFORM,
    python: RUNTIME,
    startedAt: new Date(startedAt).toISOString(),
    ...{ program: NAME, root: NAME, host: NAME, executable: NAME },
    writerId: jobId,
  };
}

/** Each hyperparameter as `{value}`, and beside them what the client says of itself. */
export function configOf(facts: RunFacts): Record<string, { readonly value: unknown }> {
  const metadata = metadataOf(facts);
  const own = {
    cli_version: NAME,
    python_version: RUNTIME,
    // Telemetry by numbers: 3 features, 4 Python, 5 client, 12 its core, 13 platform.
    t: { "3": [], "4": RUNTIME, "5": NAME, "12": NAME, "13": PLATFORM },
    m: METRICS,
    e: { [metadata.writerId]: metadata },
  };
  return {
    ...Object.fromEntries(Object.entries(facts.config).map(([name, value]) => [name, { value }])),
    _wandb: { value: own },
  };
}
