/** What all views share: OpenAI's lists and times. */
import { z } from "@hono/zod-openapi";
import type { Page } from "../../jobs/stores/job_store.ts";

export const timestamp = z.int().openapi({ description: "Seconds since the Unix epoch" });

/** OpenAI's list around a page. */
export function listSchema<T extends z.ZodType>(item: T) {
  return z.object({
    object: z.literal("list"),
    data: z.array(item),
    has_more: z.boolean(),
    first_id: z.string().nullable(),
    last_id: z.string().nullable(),
  });
}

export function listView<T extends object>(data: T[], hasMore = false) {
  const idOf = (item: T | undefined) =>
    item !== undefined && "id" in item && typeof item.id === "string" ? item.id : null;
  return {
    object: "list" as const,
    data,
    has_more: hasMore,
    first_id: idOf(data[0]),
    last_id: idOf(data.at(-1)),
  };
}

/** A page of records as a list of their views. */
export function pageView<R, T extends object>(page: Page<R>, view: (record: R) => T) {
  return listView(page.items.map(view), page.hasMore);
}

/** OpenAI's times are whole seconds. */
export function seconds(milliseconds: number): number {
  return Math.floor(milliseconds / 1000);
}
