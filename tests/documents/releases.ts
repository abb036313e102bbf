/** The table of docs/releases.md: programs that need an earlier release find it there. */
import { join } from "@std/path";
import { z } from "zod";
import { root } from "./named_tests.ts";

const number = z.string().regex(/^\d+$/).transform(Number);

const rowSchema = z.strictObject({
  version: z.string().regex(/^\d+\.\d+\.\d+(-dev)?$/),
  /** Empty until it is released, as is the commit. */
  date: z.string().regex(/^(\d{4}-\d\d-\d\d)?$/),
  commit: z.string().regex(/^(`[0-9a-f]{40}`)?$/).transform((cell) => cell.replaceAll("`", "")),
  "protocol": number,
  "serves workers of": z.string().regex(/^\d+( to \d+)?$/),
  "layout": number,
  "coordinator.sqlite": number,
  "access.sqlite": number,
});
export type ReleaseRow = z.output<typeof rowSchema>;

/** Newest first; the first one is this copy of the repository. Throws if a cell is not what its column says. */
export function releasesIn(page: string): readonly [ReleaseRow, ...ReleaseRow[]] {
  const section = page.split("\n## Releases\n")[1]?.split("\n## ")[0] ?? "";
  const [head, , ...rows] = section.split("\n").filter((line) => line.startsWith("|")).map(cellsOf);
  const read = (cells: readonly string[]) =>
    rowSchema.parse(Object.fromEntries((head ?? []).map((name, i) => [name, cells[i]])));
  const [first, ...others] = rows.map(read);
  if (first === undefined) throw new Error("docs/releases.md has no table below its heading Releases");
  return [first, ...others];
}

export async function readReleases(): Promise<readonly [ReleaseRow, ...ReleaseRow[]]> {
  return releasesIn(await Deno.readTextFile(join(root, "docs/releases.md")));
}

/** The newest one with a commit. */
export function lastReleased(releases: readonly ReleaseRow[]): ReleaseRow {
  const last = releases.find(({ commit }) => commit !== "");
  if (last === undefined) throw new Error("docs/releases.md has no release with a commit");
  return last;
}

const cellsOf = (line: string): string[] => line.split("|").slice(1, -1).map((cell) => cell.trim());
