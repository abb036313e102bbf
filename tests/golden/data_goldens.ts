/** Reads what make/make_data_goldens.py wrote. */
import { fromFileUrl } from "@std/path";
import type { z } from "zod";

/** The path of a golden file or folder. */
export function goldenPath(name: string): string {
  return fromFileUrl(new URL(name, import.meta.url));
}

/** A golden file, parsed by the shape that its test expects. */
export async function readGolden<T>(name: string, schema: z.ZodType<T>): Promise<T> {
  return schema.parse(JSON.parse(await Deno.readTextFile(goldenPath(name))));
}
