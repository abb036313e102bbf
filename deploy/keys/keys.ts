/** What `deno task keys` does: one request, and a table or a line for a person. */
import { z } from "zod";
import type { ApiClient } from "../client/api_client.ts";
import { columnsOf, padTo, visible } from "../terminal/cells.ts";
import type { Command } from "./options.ts";

const amount = z.number().nullable();
const keySchema = z.object({
  id: z.string(),
  name: z.string(),
  role: z.string(),
  status: z.string(),
  expires_at: amount,
  quotas: z.object({ jobs: amount, upload_bytes: amount }),
  use: z.object({ jobs: z.number(), upload_bytes: z.number() }),
});
type Key = z.output<typeof keySchema>;

/** What is printed. Throws the API's refusal. */
export async function runKeysCommand(
  api: Pick<ApiClient, "json" | "post">,
  command: Command,
): Promise<string> {
  switch (command.kind) {
    case "list": {
      const { data } = z.object({ data: z.array(keySchema) }).parse(await api.json("/v1/api-keys"));
      return tableOf(data);
    }
    case "create": {
      const made = keySchema.extend({ key: z.string() }).parse(await api.post("/v1/api-keys", command.body));
      return `${made.key}\nThis is the only time that the key is shown. Its id is ${made.id}, its role ${made.role}.`;
    }
    case "change":
      return tableOf([
        keySchema.parse(await api.post(`/v1/api-keys/${encodeURIComponent(command.id)}`, command.body)),
      ]);
    case "revoke":
      return tableOf([
        keySchema.parse(
          await api.json(`/v1/api-keys/${encodeURIComponent(command.id)}`, { method: "DELETE" }),
        ),
      ]);
  }
}

function tableOf(keys: readonly Key[]): string {
  if (keys.length === 0) return "no keys but the configured ones";
  const head = ["id", "name", "role", "status", "expires", "jobs", "uploads in MiB"];
  return table([
    head,
    ...keys.map(({ id, name, role, status, expires_at, quotas, use }) => [
      ...[id, name, role, status],
      expires_at === null
        ? "never"
        : new Date(1000 * expires_at).toISOString().slice(0, 16).replace("T", " "),
      ofQuota(use.jobs, quotas.jobs),
      ofQuota(mib(use.upload_bytes), quotas.upload_bytes === null ? null : mib(quotas.upload_bytes)),
    ]),
  ]);
}

function table(rows: readonly (readonly string[])[]): string {
  const shown = rows.map((row) => row.map(visible));
  const widths = shown[0]!.map((_, column) => Math.max(...shown.map((row) => columnsOf(row[column]!))));
  return shown.map((row) => row.map((cell, column) => padTo(cell, widths[column]!)).join("  ").trimEnd())
    .join("\n");
}

function mib(bytes: number): number {
  return Math.round(bytes / 2 ** 20 * 10) / 10;
}

function ofQuota(used: number, quota: number | null): string {
  return quota === null ? String(used) : `${used} of ${quota}`;
}
