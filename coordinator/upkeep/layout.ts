/**
 * The version of a data folder's layout, in `layout.json`: which files and folders there are, and how they are named. The
 * databases have versions of their own (storage/migrations.ts).
 */
import { z } from "zod";
import { LoraFleetError, messageOf, quote } from "../../shared/errors.ts";
import { newerThanCode } from "../storage/migrations.ts";
import { PRIVATE_FILE_MODE, PRIVATE_FOLDER_MODE } from "../storage/private_folder.ts";

/**
 * The n-th leads from version n to n + 1. It may be interrupted at any point and begins again at the next start, so it has
 * to accept what it has already changed.
 */
export type LayoutMigration = (dataFolder: string) => Promise<void>;
export const LAYOUT_MIGRATIONS: readonly LayoutMigration[] = [];

/** Folders from before this file have the first version. */
const FIRST = 1;
export const LAYOUT_FILE = "layout.json";
const layoutSchema = z.object({ layout: z.int().min(FIRST) });

export function newestLayout(migrations: readonly LayoutMigration[] = LAYOUT_MIGRATIONS): number {
  return FIRST + migrations.length;
}

/** The folder's version. Throws `storage` if a newer lorafleet wrote it, or the file cannot be read. */
export async function layoutOf(
  dataFolder: string,
  migrations: readonly LayoutMigration[] = LAYOUT_MIGRATIONS,
): Promise<number> {
  const path = `${dataFolder}/${LAYOUT_FILE}`;
  let text: string;
  try {
    text = await Deno.readTextFile(path);
  } catch (thrown) {
    if (thrown instanceof Deno.errors.NotFound) return FIRST;
    throw unusable(path, messageOf(thrown), thrown);
  }
  const parsed = layoutSchema.safeParse(parseJson(text));
  if (!parsed.success) {
    throw unusable(path, `it is ${quote(text)}, and {"layout": ${newestLayout(migrations)}} is expected`);
  }
  const { layout } = parsed.data;
  if (layout > newestLayout(migrations)) throw newerThanCode(dataFolder, layout, newestLayout(migrations));
  return layout;
}

/** Brings the folder, which the caller has locked, to the newest version, and says so in its file. Throws `storage`. */
export async function migrateLayout(
  dataFolder: string,
  migrations: readonly LayoutMigration[] = LAYOUT_MIGRATIONS,
): Promise<void> {
  for (let layout = await layoutOf(dataFolder, migrations); layout < newestLayout(migrations); layout++) {
    await migrations[layout - FIRST]!(dataFolder);
    await write(dataFolder, layout + 1);
  }
  await write(dataFolder, newestLayout(migrations));
}

async function write(dataFolder: string, layout: number): Promise<void> {
  const path = `${dataFolder}/${LAYOUT_FILE}`;
  const text = `${JSON.stringify({ layout })}\n`;
  if (await Deno.readTextFile(path).catch(() => null) === text) return;
  try {
    await Deno.mkdir(dataFolder, { recursive: true, mode: PRIVATE_FOLDER_MODE });
    await Deno.writeTextFile(`${path}.new`, text, { mode: PRIVATE_FILE_MODE });
    await Deno.rename(`${path}.new`, path);
  } catch (thrown) {
    throw unusable(path, messageOf(thrown), thrown);
  }
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
