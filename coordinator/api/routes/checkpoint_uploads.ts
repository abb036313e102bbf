/** `/internal/jobs/{id}/checkpoints/`: where the assigned worker uploads the adapter of a step. */
import { z } from "@hono/zod-openapi";
import { LoraFleetError, quote } from "../../../shared/errors.ts";
import { decideUpload, type UploadDecision } from "../../training/upload_decision.ts";
import { bearerOf } from "../transport/auth.ts";
import { HttpError } from "../transport/errors.ts";
import { addDescribed, bytesContent, jsonContent, pathParameter, workerRoute } from "./describe.ts";
import type { Api } from "./describe.ts";
import type { ApiServices } from "./services.ts";

const storedSchema = z.object({ name: z.string(), size: z.int(), sha256: z.string() }).openapi(
  "CheckpointFile",
);

const uploadFile = workerRoute({
  method: "put",
  path: "/internal/jobs/{id}/checkpoints/{step}/{file}",
  operationId: "uploadCheckpointFile",
  summary: "Store a file of the adapter; the same bytes may be sent again",
  request: {
    params: z.object({ id: z.string(), step: z.string(), file: z.string() }),
    headers: z.object({ "x-lorafleet-sha256": z.string() }),
    body: { required: true, content: bytesContent("").content },
  },
  responses: { 200: jsonContent(storedSchema, "The file is stored and verified") },
});

export function addCheckpointUploadRoutes(api: Api, { jobs, access, fleet, artifacts }: ApiServices): void {
  addDescribed(api, uploadFile, async (c) => {
    const { id, status } = jobs.get(pathParameter(c, "id"));
    if (status !== "running") {
      const message = `job ${quote(id)} is ${status}: only a running job accepts checkpoints`;
      throw new LoraFleetError("conflict", message);
    }
    const { worker } = access.identify(bearerOf(c));
    const text = pathParameter(c, "step");
    const name = pathParameter(c, "file");
    const step = integerOf(text) ?? text;
    const decide = (contentLength: number | null) =>
      allowed(decideUpload(fleet.checkpointAssignment(id), { worker, step, name, contentLength }));
    const { maxBytes } = decide(integerOf(c.req.header("content-length")));
    const sha256 = c.req.header("x-lorafleet-sha256") ?? "";
    const upload = { step: Number(text), name, writer: worker, sha256, maxBytes };
    const stored = await artifacts.put(id, upload, c.req.raw.body ?? ReadableStream.from([]));
    // The checkpoint may have been assigned to a different worker meanwhile.
    decide(stored.size);
    return c.json(stored, 200);
  });
}

/** The bounds of an allowed upload. Throws an `HttpError` for any other. */
function allowed(decision: UploadDecision): { readonly minBytes: number; readonly maxBytes: number } {
  if (decision.isAllowed) return decision;
  const code = { 400: "invalid_request", 403: "forbidden", 409: "conflict", 413: "file_too_large" } as const;
  throw new HttpError(decision.status, code[decision.status], decision.reason);
}

function integerOf(text: string | undefined): number | null {
  return text === undefined || !/^[0-9]{1,15}$/.test(text) ? null : Number(text);
}
