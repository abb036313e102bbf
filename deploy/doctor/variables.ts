/** The LORAFLEET_… variables that the programs read, from their own usage texts. */

const SOURCES = [
  "coordinator/config/config.ts",
  "coordinator/config/nats_settings.ts",
  "worker/config.ts",
  "deploy/runpod/options.ts",
];

/** @param readText of a path below the repository's root */
export async function knownVariables(
  readText: (path: string) => Promise<string>,
): Promise<readonly string[]> {
  const texts = await Promise.all(SOURCES.map(readText));
  return [...new Set(texts.join("\n").match(/\bLORAFLEET_[A-Z_]*[A-Z]\b/g))].toSorted();
}
