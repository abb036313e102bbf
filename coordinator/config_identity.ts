/**
 * What a coordinator keeps over restarts so that its workers find it again, and it its own lease: its id, the join token,
 * the broker's passwords and port. In the data folder, for the owner's eyes.
 */
import { z } from "zod";
import { LoraFleetError, messageOf, quote } from "../shared/errors.ts";
import { randomText } from "./store/ids.ts";

const identitySchema = z.strictObject({
  coordinatorId: z.string().min(1),
  joinToken: z.string().min(16),
  natsCoordinatorPassword: z.string().min(16),
  natsWorkerPassword: z.string().min(16),
  /** The own broker's port of last time; 0 before the first. */
  natsPort: z.int().min(0).max(65535),
  /** Under which name the last process on this folder has led; null before the first. */
  leaseHolder: z.string().nullable().default(null),
});
export type Identity = z.output<typeof identitySchema>;

/** Reads the identity or makes one. Throws a `LoraFleetError` with code `storage`. */
export async function loadIdentity(dataFolder: string): Promise<Identity> {
  const path = identityPath(dataFolder);
  let text: string;
  try {
    text = await Deno.readTextFile(path);
  } catch (thrown) {
    if (!(thrown instanceof Deno.errors.NotFound)) throw unusable(path, messageOf(thrown), thrown);
    const identity = {
      coordinatorId: randomText(16),
      joinToken: randomText(32),
      natsCoordinatorPassword: randomText(32),
      natsWorkerPassword: randomText(32),
      natsPort: 0,
      leaseHolder: null,
    };
    await saveIdentity(dataFolder, identity);
    return identity;
  }
  const parsed = identitySchema.safeParse(parseJson(text));
  if (parsed.success) return parsed.data;
  throw unusable(path, `${parsed.error.issues[0]!.message}; delete the file for a new identity`);
}

/** Writes it, readable by the owner alone. */
export async function saveIdentity(dataFolder: string, identity: Identity): Promise<void> {
  const path = identityPath(dataFolder);
  try {
    await Deno.mkdir(dataFolder, { recursive: true });
    await Deno.writeTextFile(`${path}.new`, `${JSON.stringify(identity, null, 2)}\n`, { mode: 0o600 });
    await Deno.rename(`${path}.new`, path);
  } catch (thrown) {
    throw unusable(path, messageOf(thrown), thrown);
  }
}

function identityPath(dataFolder: string): string {
  return `${dataFolder}/coordinator.json`;
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

function unusable(path: string, why: string, cause?: unknown): LoraFleetError {
  return new LoraFleetError("storage", `cannot use ${quote(path)}: ${why}`, { param: "data-folder", cause });
}
