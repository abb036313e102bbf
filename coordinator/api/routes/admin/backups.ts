/** `/v1/backups`: the data folder as an archive, for admins. */
import { addDescribed, type Api, bytesContent, userRoute } from "../describe.ts";
import type { ApiServices } from "../services.ts";

const createBackup = userRoute("post", "/v1/backups", "createBackup", {
  summary: "Download a consistent copy of the data folder, keys included; jobs go on meanwhile",
  responses: { 200: bytesContent("A tar archive for deno task restore") },
});

export function addBackupRoutes(api: Api, { openBackup, onDefect }: ApiServices): void {
  addDescribed(api, createBackup, async () => {
    const { stream, missing } = await openBackup();
    for (const path of missing) {
      onDefect("the backup lacks a recorded file", new Error(`${path} is not there`));
    }
    return new Response(stream, {
      headers: {
        "content-type": "application/x-tar",
        "cache-control": "no-store",
        "x-lorafleet-missing": missing.map(encodeURIComponent).join(" ").slice(0, MAX_HEADER),
      },
    });
  });
}

/** The log has the rest. */
const MAX_HEADER = 4000;
