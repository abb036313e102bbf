/** The folder of one run, as TensorBoard lists it. */
import type { RunFacts } from "./tracker.ts";

/** `<runs>/<logging_dir>/<name>-<job>`; a name's characters that mean something in a path become hyphens. */
export function runFolder(runsFolder: string, { name, jobId, tracking }: RunFacts): string {
  const safe = name.replaceAll(/[^\p{L}\p{M}\p{N}._-]+/gu, "-").replaceAll(/^[.-]+|-+$/g, "");
  const own = safe === "" || name === jobId ? jobId : `${safe}-${jobId}`;
  return [runsFolder, ...tracking.loggingDir === null ? [] : [tracking.loggingDir], own].join("/");
}
