/** The demo's results: PEFT's two files and a report, complete or not at all. */
import { basename, dirname, join } from "@std/path";
import { LoraFleetError, messageOf, quote } from "../../shared/errors.ts";
import { ADAPTER_FILES } from "../client/result_files.ts";
import type { Score } from "../machine/evaluation.ts";

export interface Report {
  /** Maximum number of workers in one step. */
  readonly workers: number;
  readonly steps: number;
  readonly trained_tokens: number;
  /** Payload bytes of gradients that all workers sent. */
  readonly gradient_bytes_sent: number;
  /** The whole demo, set-up included. */
  readonly wall_seconds: number;
  readonly adapter_sha256: string;
  readonly base: Score;
  readonly tuned: Score;
}

const resultNames: readonly string[] = [...ADAPTER_FILES, "report.json"];

/**
 * Checks before any work that results can be written to `folder`.
 * Throws `usage` if the folder holds anything but earlier results, `storage` if it cannot be created
 */
export async function checkOutFolder(folder: string): Promise<void> {
  try {
    for await (const entry of Deno.readDir(folder)) {
      if (!resultNames.includes(entry.name)) {
        const message = `--out ${quote(folder)} holds ${quote(entry.name)}, which is not a result of this ` +
          "demo: choose a different folder";
        throw new LoraFleetError("usage", message);
      }
    }
  } catch (error) {
    if (error instanceof LoraFleetError) throw error;
    if (!(error instanceof Deno.errors.NotFound)) {
      const message = `--out ${quote(folder)} cannot be used: ${messageOf(error)}`;
      throw new LoraFleetError("usage", message);
    }
  }
  const probe = await makeNeighbour(folder);
  await Deno.remove(probe);
}

/**
 * Writes all results beside `folder` and renames them into place, so that the folder never holds only some of them.
 * Throws `storage`
 */
export async function writeResults(
  folder: string,
  adapterFiles: ReadonlyMap<string, Uint8Array>,
  report: Report,
): Promise<void> {
  const fresh = await makeNeighbour(folder);
  try {
    for (const [name, bytes] of adapterFiles) await Deno.writeFile(join(fresh, name), bytes);
    await Deno.writeTextFile(join(fresh, "report.json"), `${JSON.stringify(report, null, 2)}\n`);
    await Deno.chmod(fresh, 0o755);
    await checkOutFolder(folder);
    await Deno.remove(folder, { recursive: true }).catch((error) => {
      if (!(error instanceof Deno.errors.NotFound)) throw error;
    });
    await Deno.rename(fresh, folder);
  } catch (error) {
    await Deno.remove(fresh, { recursive: true }).catch(() => {});
    if (error instanceof LoraFleetError) throw error;
    const message = `cannot write ${quote(folder)}: ${messageOf(error)}`;
    throw new LoraFleetError("storage", message, { cause: error });
  }
}

async function makeNeighbour(folder: string): Promise<string> {
  try {
    await Deno.mkdir(dirname(folder), { recursive: true });
    return await Deno.makeTempDir({ dir: dirname(folder), prefix: `.${basename(folder)}-` });
  } catch (error) {
    const message = `cannot create a folder beside ${quote(folder)}: ${messageOf(error)}`;
    throw new LoraFleetError("storage", message, { cause: error });
  }
}
