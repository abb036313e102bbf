/**
 * What a command knows of a fleet's pods, in a file beside others of its kind: written before anything is rented, kept until
 * everything is removed, and without secrets.
 */
import { join } from "@std/path";
import { z } from "zod";
import { LoraFleetError, messageOf, quote } from "../../shared/errors.ts";
import { cloudSchema } from "./api/schemas.ts";

const podRecordSchema = z.strictObject({
  name: z.string(),
  /** Null: RunPod has not answered the creation, so that the pod may exist or not. */
  id: z.string().nullable(),
  gpu: z.string(),
  cloud: cloudSchema,
  isSpot: z.boolean(),
  dollarsPerHour: z.number(),
  createdAt: z.number(),
  leaseEndsAt: z.number().nullable(),
  removedAt: z.number().nullable(),
});
export type PodRecord = z.output<typeof podRecordSchema>;

const stateSchema = z.strictObject({
  version: z.literal(1),
  fleet: z.string(),
  jobId: z.string().nullable(),
  /** Dollars. */
  budget: z.number().nullable(),
  pods: z.array(podRecordSchema),
  /** The API of the coordinator that the pods join; left out: not known. */
  coordinator: z.string().optional(),
});
export type FleetRecord = z.output<typeof stateSchema>;

export class FleetState implements Disposable {
  readonly #path: string;
  readonly #lock: Deno.FsFile | null;
  #record: FleetRecord;

  private constructor(path: string, lock: Deno.FsFile | null, record: FleetRecord) {
    this.#path = path;
    this.#lock = lock;
    this.#record = record;
  }

  /**
   * The fleet's state, empty if there is none. A different command may be at work on the fleet: then `isOwner` is false, and
   * nothing is written. Throws `storage`.
   */
  static async open(folder: string, fleet: string): Promise<FleetState> {
    const path = join(folder, `${fleet}.json`);
    const lock = await attempt(`write into ${quote(folder)}`, async () => {
      await Deno.mkdir(folder, { recursive: true, mode: 0o700 });
      const file = await Deno.open(`${path}.lock`, { create: true, write: true });
      if (await file.tryLock(true)) return file;
      file.close();
      return null;
    });
    try {
      return new FleetState(path, lock, await readRecord(path) ?? emptyRecord(fleet));
    } catch (thrown) {
      lock?.close();
      throw thrown;
    }
  }

  /** Only to look at: nothing is locked, nothing is written. Throws `storage`. */
  static async read(folder: string, fleet: string): Promise<FleetState> {
    const path = join(folder, `${fleet}.json`);
    return new FleetState(path, null, await readRecord(path) ?? emptyRecord(fleet));
  }

  get isOwner(): boolean {
    return this.#lock !== null;
  }

  get record(): Readonly<FleetRecord> {
    return this.#record;
  }

  get pods(): readonly PodRecord[] {
    return this.#record.pods;
  }

  /** Not confirmed to be gone. */
  get left(): readonly PodRecord[] {
    return this.pods.filter(({ removedAt }) => removedAt === null);
  }

  async begin(jobId: string | null, budget: number | null, coordinator: string | null = null): Promise<void> {
    const known = coordinator === null ? {} : { coordinator };
    await this.#write({ ...this.#record, jobId, budget, ...known });
  }

  async add(pod: PodRecord): Promise<void> {
    await this.#write({ ...this.#record, pods: [...this.pods, pod] });
  }

  async change(name: string, change: Partial<PodRecord>): Promise<void> {
    await this.#write({
      ...this.#record,
      pods: this.pods.map((pod) => pod.name === name ? { ...pod, ...change } : pod),
    });
  }

  /** It was never created. */
  async drop(name: string): Promise<void> {
    await this.#write({ ...this.#record, pods: this.pods.filter((pod) => pod.name !== name) });
  }

  /** Nothing is left that has to be remembered. */
  async forget(): Promise<void> {
    this.#record = { ...this.#record, jobId: null, budget: null, pods: [] };
    if (this.isOwner) await removeFile(this.#path);
  }

  /** Asks the command that is at work on this fleet to remove everything and end. */
  async askToStop(): Promise<void> {
    await attempt(`write ${quote(this.#stopPath)}`, () => Deno.writeTextFile(this.#stopPath, ""));
  }

  async isAskedToStop(): Promise<boolean> {
    return await Deno.stat(this.#stopPath).then(() => true, () => false);
  }

  async clearStop(): Promise<void> {
    await removeFile(this.#stopPath);
  }

  [Symbol.dispose](): void {
    this.#lock?.close();
  }

  get #stopPath(): string {
    return `${this.#path}.stop`;
  }

  async #write(record: FleetRecord): Promise<void> {
    this.#record = record;
    if (!this.isOwner) return;
    await attempt(`write ${quote(this.#path)}`, async () => {
      await Deno.writeTextFile(`${this.#path}.part`, JSON.stringify(record, null, 1), { mode: 0o600 });
      await Deno.rename(`${this.#path}.part`, this.#path);
    });
  }
}

/** The fleets with a file in the folder. */
export async function knownFleets(folder: string): Promise<string[]> {
  try {
    const names = await Array.fromAsync(Deno.readDir(folder), ({ name }) => name);
    return names.filter((name) => name.endsWith(".json")).map((name) => name.slice(0, -".json".length))
      .sort();
  } catch (thrown) {
    if (thrown instanceof Deno.errors.NotFound) return [];
    throw thrown;
  }
}

function emptyRecord(fleet: string): FleetRecord {
  return { version: 1, fleet, jobId: null, budget: null, pods: [] };
}

async function readRecord(path: string): Promise<FleetRecord | null> {
  try {
    return stateSchema.parse(JSON.parse(await Deno.readTextFile(path)));
  } catch (thrown) {
    if (thrown instanceof Deno.errors.NotFound) return null;
    const message = `the fleet's state in ${quote(path)} cannot be read: ${messageOf(thrown)}; ` +
      "move the file away: the pods are found by their names";
    throw new LoraFleetError("storage", message, { cause: thrown });
  }
}

async function attempt<T>(what: string, body: () => Promise<T>): Promise<T> {
  try {
    return await body();
  } catch (cause) {
    throw new LoraFleetError("storage", `cannot ${what}: ${messageOf(cause)}`, { cause });
  }
}

async function removeFile(path: string): Promise<void> {
  await Deno.remove(path).catch((thrown) => {
    if (!(thrown instanceof Deno.errors.NotFound)) throw thrown;
  });
}
