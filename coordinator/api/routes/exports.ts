/** `/v1/fine_tuning/jobs/{id}/exports`: merged models and other forms of a job's adapter, made on request. */
import { z } from "@hono/zod-openapi";
import { driftSchema } from "../../../shared/protocol/messages_measure.ts";
import { pushBodySchema } from "../../exports/record/push_request.ts";
import { exportBodySchema } from "../../exports/record/export_request.ts";
import { readJson } from "../transport/bodies.ts";
import { serveFile } from "../transport/serve_file.ts";
import { exportFileViewSchema, exportSchema, exportView } from "../views/export_view.ts";
import { listSchema, listView } from "../views/list_view.ts";
import {
  addDescribed,
  bytesContent,
  idParameter,
  jsonBody,
  jsonContent,
  pathParameter,
  userRoute,
} from "./describe.ts";
import type { Api } from "./describe.ts";
import type { ApiServices } from "./services.ts";

const MAX_BODY_BYTES = 2 ** 16;
const PATH = "/v1/fine_tuning/jobs/{id}/exports";

const exportParameters = idParameter.extend({ export_id: z.string() });

const createExport = userRoute("post", PATH, "createExport", {
  summary: "Export a job's adapter, for example merged into its base model",
  description:
    "The same request returns the same export. One export is written at a time; its progress is in the " +
    "job's events.",
  request: { params: idParameter, body: jsonBody(exportBodySchema) },
  responses: { 200: jsonContent(exportSchema, "The export, which is now queued, in progress or done") },
});

const listExports = userRoute("get", PATH, "listExports", {
  summary: "List a job's exports, newest first",
  request: { params: idParameter },
  responses: { 200: jsonContent(listSchema(exportSchema), "The exports") },
});

const retrieveExport = userRoute("get", `${PATH}/{export_id}`, "retrieveExport", {
  summary: "Describe an export",
  request: { params: exportParameters },
  responses: { 200: jsonContent(exportSchema, "The export") },
});

const deleteExport = userRoute("delete", `${PATH}/{export_id}`, "deleteExport", {
  summary: "Stop an export, and delete its files",
  request: { params: exportParameters },
  responses: {
    200: jsonContent(
      z.object({ object: z.literal("fine_tuning.job.export"), id: z.string(), deleted: z.literal(true) }),
      "The deleted export",
    ),
  },
});

const listExportFiles = userRoute("get", `${PATH}/{export_id}/files`, "listExportFiles", {
  summary: "List the files of an export",
  request: { params: exportParameters },
  responses: {
    200: jsonContent(listSchema(exportFileViewSchema), "The files; empty until the export is done"),
  },
});

const downloadExportFile = userRoute("get", `${PATH}/{export_id}/files/{name}`, "downloadExportFile", {
  summary: "Download a file of an export",
  request: { params: exportParameters.extend({ name: z.string() }) },
  responses: { 200: bytesContent("The file's bytes") },
});

const setDrift = userRoute("put", `${PATH}/{export_id}/drift`, "setExportDrift", {
  summary: "Store how far a merged model is from the trained one, also in its model card",
  description: "The body is what `deno task evaluate --drift` writes as `drift`.",
  request: { params: exportParameters, body: jsonBody(driftSchema) },
  responses: { 200: jsonContent(exportSchema, "The export") },
});

const pushExport = userRoute("post", `${PATH}/{export_id}/push`, "pushExport", {
  summary: "Push an export's files to the hub as one commit",
  description: "With the coordinator's HF_TOKEN, into a private repository unless hub_private_repo is false.",
  request: { params: exportParameters, body: jsonBody(pushBodySchema) },
  responses: { 200: jsonContent(exportSchema, "The export, whose push is now queued") },
});

export function addExportRoutes(api: Api, { exports, room, hidePaths }: ApiServices): void {
  addDescribed(api, createExport, async (c) => {
    // Its size is known later, and checked again then.
    await room.assertRoomFor(0, "an export");
    const [id, body] = [pathParameter(c, "id"), await readJson(c, MAX_BODY_BYTES)];
    await exports.check(id, body);
    return c.json(exportView(exports.create(id, body), hidePaths), 200);
  });

  api.openapi(listExports, (c) => {
    const records = exports.list(c.req.valid("param").id);
    return c.json(listView(records.map((record) => exportView(record, hidePaths))), 200);
  });

  api.openapi(retrieveExport, (c) => {
    const { id, export_id: exportId } = c.req.valid("param");
    return c.json(exportView(exports.get(id, exportId), hidePaths), 200);
  });

  api.openapi(deleteExport, async (c) => {
    const { id, export_id: exportId } = c.req.valid("param");
    await exports.remove(id, exportId);
    return c.json({ object: "fine_tuning.job.export" as const, id: exportId, deleted: true as const }, 200);
  });

  api.openapi(listExportFiles, (c) => {
    const { id, export_id: exportId } = c.req.valid("param");
    return c.json(listView([...exportView(exports.get(id, exportId), hidePaths).files]), 200);
  });

  addDescribed(api, setDrift, async (c) => {
    const [id, exportId] = [pathParameter(c, "id"), pathParameter(c, "export_id")];
    const body = await readJson(c, MAX_BODY_BYTES);
    return c.json(exportView(await exports.setDrift(id, exportId, body), hidePaths), 200);
  });

  addDescribed(api, pushExport, async (c) => {
    const [id, exportId] = [pathParameter(c, "id"), pathParameter(c, "export_id")];
    return c.json(exportView(exports.push(id, exportId, await readJson(c, MAX_BODY_BYTES)), hidePaths), 200);
  });

  addDescribed(api, downloadExportFile, (c) => {
    const [id, exportId, name] = [
      pathParameter(c, "id"),
      pathParameter(c, "export_id"),
      pathParameter(c, "name"),
    ];
    return serveFile(c.req.raw, exports.file(id, exportId, name));
  });
}
