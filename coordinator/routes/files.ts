/** `/v1/files`: uploads, and the results of jobs. */
import { createRoute, z } from "@hono/zod-openapi";
import { LoraFleetError, quote } from "../../shared/errors.ts";
import type { FileStore, ReceivedFile } from "../file_store.ts";
import { UPLOAD_PURPOSES } from "../file_store.ts";
import type { FileRecord } from "../store/job_store.ts";
import {
  addDescribed,
  bytesContent,
  errorAnswers,
  idParameter,
  jsonContent,
  pageQuery,
  pathParameter,
} from "./api.ts";
import { userSecurity } from "./api.ts";
import type { Api, ApiServices } from "./api.ts";
import { readText } from "./bodies.ts";
import { HttpError } from "./errors.ts";
import { boundaryOf, readMultipart } from "./multipart.ts";
import type { Part } from "./multipart.ts";
import { serveFile } from "./serve_file.ts";
import { fileSchema, fileView, listSchema, pageView } from "./views.ts";

/** What a form needs around its file. */
const FORM_OVERHEAD_BYTES = 64 * 1024;

export function addFileRoutes(api: Api, services: ApiServices): void {
  const { files, store, maxUploadBytes } = services;

  addDescribed(api, {
    method: "post",
    path: "/v1/files",
    operationId: "createFile",
    summary: "Upload a dataset",
    security: userSecurity,
    request: {
      body: {
        required: true,
        content: {
          "multipart/form-data": {
            schema: z.object({
              file: z.string().openapi({ format: "binary" }),
              purpose: z.enum(UPLOAD_PURPOSES),
            }),
          },
        },
      },
    },
    responses: { 200: jsonContent(fileSchema, "The stored file"), ...errorAnswers },
  }, async (c) => {
    const contentType = c.req.header("content-type") ?? "";
    const boundary = boundaryOf(contentType);
    if (boundary === null || c.req.raw.body === null) {
      throw new HttpError(
        415,
        "unsupported_media_type",
        `the body has the content type ${
          quote(contentType)
        }; "multipart/form-data" with the fields file and purpose is needed`,
      );
    }
    // Known before a byte is read; where no length is announced, the store counts.
    if (Number(c.req.header("content-length") ?? 0) > maxUploadBytes + FORM_OVERHEAD_BYTES) {
      throw new HttpError(
        413,
        "file_too_large",
        `the file is larger than ${maxUploadBytes} bytes, which is the limit`,
        "file",
      );
    }
    return c.json(fileView(await receiveForm(files, readMultipart(c.req.raw.body, boundary))), 200);
  });

  api.openapi(
    createRoute({
      method: "get",
      path: "/v1/files",
      operationId: "listFiles",
      summary: "List files, newest first",
      security: userSecurity,
      request: {
        query: pageQuery(10_000, 10_000).extend({
          purpose: z.string().optional(),
          order: z.enum(["asc", "desc"]).default("desc"),
        }),
      },
      responses: { 200: jsonContent(listSchema(fileSchema), "A page of files"), ...errorAnswers },
    }),
    (c) => {
      const { after, limit, purpose, order } = c.req.valid("query");
      const page = store.files({ after: after ?? null, limit, purpose: purpose ?? null, order });
      return c.json(pageView(page, fileView), 200);
    },
  );

  api.openapi(
    createRoute({
      method: "get",
      path: "/v1/files/{id}",
      operationId: "retrieveFile",
      summary: "Describe a file",
      security: userSecurity,
      request: { params: idParameter },
      responses: { 200: jsonContent(fileSchema, "The file"), ...errorAnswers },
    }),
    (c) => c.json(fileView(files.get(c.req.valid("param").id)), 200),
  );

  api.openapi(
    createRoute({
      method: "delete",
      path: "/v1/files/{id}",
      operationId: "deleteFile",
      summary: "Delete an upload that no unfinished job needs",
      security: userSecurity,
      request: { params: idParameter },
      responses: {
        200: jsonContent(
          z.object({ object: z.literal("file"), id: z.string(), deleted: z.literal(true) }),
          "It is deleted",
        ),
        ...errorAnswers,
      },
    }),
    async (c) => {
      const { id } = c.req.valid("param");
      await files.delete(id);
      return c.json({ object: "file" as const, id, deleted: true as const }, 200);
    },
  );

  addDescribed(api, {
    method: "get",
    path: "/v1/files/{id}/content",
    operationId: "downloadFile",
    summary: "Download a file",
    security: userSecurity,
    request: { params: idParameter },
    responses: { 200: bytesContent("The file's bytes"), ...errorAnswers },
  }, async (c) => {
    const file = files.get(pathParameter(c, "id"));
    return await serveFile(c.req.raw, { ...file, path: await files.soundPath(file) });
  });
}

/** Takes the fields in any order: the file is on disk before its purpose is known. */
async function receiveForm(files: FileStore, parts: AsyncGenerator<Part>): Promise<FileRecord> {
  let received: ReceivedFile | null = null;
  try {
    let filename: string | null = null;
    let purpose: string | null = null;
    for await (const part of parts) {
      if (part.name === "file" && received === null) {
        if (part.filename === null) throw missing("file", "is a text, not a file with a name");
        filename = part.filename;
        received = await files.receive(part.body);
      } else if (part.name === "purpose" && purpose === null) {
        purpose = await readText(part.body, 256);
      } else {
        throw missing(part.name, "is not known or came twice; the fields are file and purpose");
      }
    }
    if (received === null || filename === null) throw missing("file", "is missing");
    if (purpose === null) throw missing("purpose", 'is missing; use "fine-tune"');
    if (received.size === 0) throw missing("file", "is empty");
    return files.keep(received, filename, purpose);
  } catch (thrown) {
    if (received !== null) await files.discard(received);
    throw thrown;
  }
}

function missing(field: string, what: string): LoraFleetError {
  return new LoraFleetError("invalid_request", `the form's field ${quote(field)} ${what}`, { param: field });
}
