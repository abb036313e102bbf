/** `/v1/files`: uploads, and the results of jobs. */
import { z } from "@hono/zod-openapi";
import { assertFilename, assertUploadPurpose, UPLOAD_PURPOSES } from "../../jobs/files/file_rules.ts";
import type { FileStore, ReceivedFile } from "../../jobs/files/file_store.ts";
import { assertMayStore, type Owner } from "../../jobs/record/owner.ts";
import type { FileRecord } from "../../jobs/stores/job_store.ts";
import { ownerFor } from "../transport/authorize.ts";
import { readText } from "../transport/bodies.ts";
import { invalidField, readForm } from "../transport/form.ts";
import type { Part } from "../transport/multipart.ts";
import { serveFile } from "../transport/serve_file.ts";
import { fileSchema, fileView } from "../views/file_view.ts";
import { listSchema, pageView } from "../views/list_view.ts";
import {
  addDescribed,
  bytesContent,
  idParameter,
  jsonContent,
  pageQuery,
  pathParameter,
  userRoute,
} from "./describe.ts";
import type { Api } from "./describe.ts";
import { parseExpiresAfter } from "./expires_after.ts";
import type { ApiServices } from "./services.ts";

const ANCHOR = "expires_after[anchor]";
const SECONDS = "expires_after[seconds]";
const TEXT_FIELDS = ["purpose", ANCHOR, SECONDS];

const formSchema = z.strictObject({
  file: z.string().openapi({ format: "binary" }),
  purpose: z.enum(UPLOAD_PURPOSES),
  [ANCHOR]: z.literal("created_at").optional(),
  [SECONDS]: z.int().min(3600).max(2_592_000).optional().openapi({
    description: "The file's lifetime; an unfinished job that needs the file extends it",
  }),
});

const createFile = userRoute("post", "/v1/files", "createFile", {
  summary: "Upload a dataset",
  request: { body: { required: true, content: { "multipart/form-data": { schema: formSchema } } } },
  responses: { 200: jsonContent(fileSchema, "The stored file") },
});

const listFiles = userRoute("get", "/v1/files", "listFiles", {
  summary: "List files, newest first",
  request: {
    query: pageQuery(10_000, 10_000).extend({
      purpose: z.string().optional(),
      order: z.enum(["asc", "desc"]).default("desc"),
    }),
  },
  responses: { 200: jsonContent(listSchema(fileSchema), "A page of files") },
});

const retrieveFile = userRoute("get", "/v1/files/{id}", "retrieveFile", {
  summary: "Describe a file",
  request: { params: idParameter },
  responses: { 200: jsonContent(fileSchema, "The file") },
});

const deletedSchema = z.object({ object: z.literal("file"), id: z.string(), deleted: z.literal(true) });
const deleteFile = userRoute("delete", "/v1/files/{id}", "deleteFile", {
  summary: "Delete an upload that no unfinished job needs",
  request: { params: idParameter },
  responses: { 200: jsonContent(deletedSchema, "The file is deleted") },
});

const downloadFile = userRoute("get", "/v1/files/{id}/content", "downloadFile", {
  summary: "Download a file",
  request: { params: idParameter },
  responses: { 200: bytesContent("The file's bytes") },
});

export function addFileRoutes(api: Api, { files, store, room, maxUploadBytes }: ApiServices): void {
  addDescribed(api, createFile, async (c) => {
    const owner = ownerFor(c);
    // Before megabytes arrive.
    assertMayStore(store, owner, 1);
    await room.assertRoomFor(Number(c.req.header("content-length") ?? 0), "the upload");
    const form = readForm(c, maxUploadBytes, "file and purpose");
    return c.json(fileView(await receiveForm(files, form, owner)), 200);
  });

  api.openapi(listFiles, (c) => {
    const { after, limit, purpose, order } = c.req.valid("query");
    const page = files.list({ after: after ?? null, limit, purpose: purpose ?? null, order });
    return c.json(pageView(page, fileView), 200);
  });

  api.openapi(retrieveFile, (c) => c.json(fileView(files.get(c.req.valid("param").id)), 200));

  api.openapi(deleteFile, async (c) => {
    const { id } = c.req.valid("param");
    await files.delete(id);
    return c.json({ object: "file" as const, id, deleted: true as const }, 200);
  });

  addDescribed(api, downloadFile, async (c) => {
    const file = files.get(pathParameter(c, "id"));
    return await serveFile(c.req.raw, { ...file, path: await files.verifiedPath(file) });
  });
}

/** Accepts the fields in any order: the file may be on disk before its purpose is known. */
async function receiveForm(
  files: FileStore,
  parts: AsyncGenerator<Part>,
  owner: Owner | null,
): Promise<FileRecord> {
  let received: ReceivedFile | null = null;
  try {
    let filename: string | null = null;
    const texts = new Map<string, string>();
    for await (const part of parts) {
      if (part.name === "file" && received === null) {
        if (part.filename === null) throw invalidField("file", "is a text, not a file with a name");
        filename = part.filename;
        received = await files.receive(part.body);
      } else if (TEXT_FIELDS.includes(part.name) && !texts.has(part.name)) {
        texts.set(part.name, await readText(part.body, 256));
      } else if (part.name === "file" || TEXT_FIELDS.includes(part.name)) {
        throw invalidField(part.name, "is repeated; give it once");
      } else {
        throw invalidField(part.name, `is unknown; the fields are file, ${TEXT_FIELDS.join(", ")}`);
      }
    }
    const purpose = texts.get("purpose");
    const lifetimeMs = parseExpiresAfter(texts.get(ANCHOR), texts.get(SECONDS));
    if (received === null || filename === null) throw invalidField("file", "is missing");
    if (purpose === undefined) throw invalidField("purpose", 'is missing; use "fine-tune"');
    if (received.size === 0) throw invalidField("file", "is empty");
    assertUploadPurpose(purpose);
    assertFilename(filename);
    await files.checkData(received, filename);
    return files.keep(received, filename, purpose, lifetimeMs, owner);
  } catch (thrown) {
    if (received !== null) await files.discard(received);
    throw thrown;
  }
}
