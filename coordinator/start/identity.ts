/**
 * What a coordinator keeps over restarts, so that workers find it and it recognises its own lease: its id, the join token, the
 * signing keys of its broker and its broker's port. Lies in the data folder, readable by the owner alone.
 */
import { z } from "zod";
import { createNatsKeys, type NatsKeyKind } from "../../shared/bus/nats_keys.ts";
import { LoraFleetError, messageOf, quote } from "../../shared/errors.ts";
import type { AccountSeeds } from "../../shared/bus/nats_accounts.ts";
import { PRIVATE_FILE_MODE, PRIVATE_FOLDER_MODE } from "../storage/private_folder.ts";
import { randomText } from "../storage/ids.ts";

const seedSchema = z.string().regex(/^S[A-Z2-7]{57}$/);

// Drops what earlier releases stored besides: passwords of the broker.
const identitySchema = z.object({
  coordinatorId: z.string().min(1),
  /** The token of the printed join URL. */
  joinToken: z.string().min(16),
  /** Seeds of the keys that sign for the broker's accounts (nats_accounts.ts). */
  natsKeys: z.strictObject({
    operator: seedSchema,
    fleet: seedSchema,
    streams: seedSchema,
    system: seedSchema,
  }).prefault(() => newSeeds()),
  /** Our own broker's previous port; 0 before the first start. */
  natsPort: z.int().min(0).max(65535),
  /** Names under which processes on this folder have led or were about to; all but the newest have ended. */
  leaseHolders: z.array(z.string()).default([]),
  /**
   * The last term in which a coordinator of this folder has led, or was about to: the broker counts terms too, but a new one
   * begins anew, and workers take a lower term for an earlier coordinator.
   */
  term: z.int().min(0).default(0),
});
export type Identity = z.output<typeof identitySchema>;

/** Reads the identity or makes one. Throws `storage`. */
export async function loadIdentity(dataFolder: string): Promise<Identity> {
  const path = identityPath(dataFolder);
  let text: string;
  try {
    text = await Deno.readTextFile(path);
  } catch (thrown) {
    if (!(thrown instanceof Deno.errors.NotFound)) throw unusable(path, messageOf(thrown), thrown);
    const [coordinatorId, joinToken] = [randomText(16), randomText(32)];
    const identity = {
      coordinatorId,
      joinToken,
      natsKeys: newSeeds(),
      natsPort: 0,
      leaseHolders: [],
      term: 0,
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
    await Deno.mkdir(dataFolder, { recursive: true, mode: PRIVATE_FOLDER_MODE });
    const text = `${JSON.stringify(identity, null, 2)}\n`;
    await Deno.writeTextFile(`${path}.new`, text, { mode: PRIVATE_FILE_MODE });
    await Deno.rename(`${path}.new`, path);
  } catch (thrown) {
    throw unusable(path, messageOf(thrown), thrown);
  }
}

function newSeeds(): AccountSeeds {
  const seed = (kind: NatsKeyKind) => new TextDecoder().decode(createNatsKeys(kind).seed);
  const [operator, fleet, streams, system] = [
    seed("operator"),
    seed("account"),
    seed("account"),
    seed("account"),
  ];
  return { operator, fleet, streams, system };
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
