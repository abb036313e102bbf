/**
 * `running.json`: where the coordinator of a data folder listens, and a key of this process for whoever may read the folder.
 * The folder holds the fleet's signing keys, so its reader is trusted with everything already.
 */
import { z } from "zod";
import { PRIVATE_FILE_MODE } from "../storage/private_folder.ts";

const runningSchema = z.strictObject({
  url: z.string(),
  key: z.string(),
  /** PEM of the authority that signed the API's certificate; null: none, or a known one. */
  tlsCa: z.string().nullable(),
});
export type Running = z.output<typeof runningSchema>;

const pathOf = (dataFolder: string) => `${dataFolder}/running.json`;

export async function writeRunning(dataFolder: string, running: Running): Promise<void> {
  const path = pathOf(dataFolder);
  await Deno.writeTextFile(`${path}.new`, `${JSON.stringify(running)}\n`, { mode: PRIVATE_FILE_MODE });
  await Deno.rename(`${path}.new`, path);
}

export async function removeRunning(dataFolder: string): Promise<void> {
  await Deno.remove(pathOf(dataFolder)).catch(() => {});
}

/** Null without the file: no coordinator runs, or one that starts. It may also be a killed one's. */
export async function readRunning(dataFolder: string): Promise<Running | null> {
  const text = await Deno.readTextFile(pathOf(dataFolder)).catch(() => null);
  if (text === null) return null;
  try {
    return runningSchema.parse(JSON.parse(text));
  } catch {
    return null;
  }
}
