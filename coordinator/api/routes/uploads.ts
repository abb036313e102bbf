/** `/v1/uploads`: a file in parts. */
import { z } from "@hono/zod-openapi";
import { UPLOAD_PURPOSES } from "../../jobs/files/file_rules.ts";
import { MAX_PART_BYTES } from "../../jobs/files/upload_store.ts";
import type { Upload, UploadPart } from "../../jobs/files/upload_registry.ts";
import { ownerFor } from "../transport/authorize.ts";
import { readObject } from "../transport/bodies.ts";
import { invalidField, readForm } from "../transport/form.ts";
import { fileSchema, fileView } from "../views/file_view.ts";
import { seconds, timestamp } from "../views/list_view.ts";
import { addDescribed, idParameter, jsonBody, jsonContent, pathParameter, userRoute } from "./describe.ts";
import type { Api } from "./describe.ts";
import { parseExpiresAfter } from "./expires_after.ts";
import type { ApiServices } from "./services.ts";

const uploadSchema = z.object({
  object: z.literal("upload"),
  id: z.string(),
  bytes: z.int(),
  created_at: timestamp,
  expires_at: timestamp,
  filename: z.string(),
  purpose: z.string(),
  status: z.enum(["pending", "completed", "cancelled", "expired"]),
  file: z.union([fileSchema, z.null()]),
}).openapi("Upload");

const partSchema = z.object({
  object: z.literal("upload.part"),
  id: z.string(),
  created_at: timestamp,
  upload_id: z.string(),
}).openapi("UploadPart");

const createSchema = z.strictObject({
  bytes: z.int().min(1),
  filename: z.string().min(1).max(255),
  mime_type: z.string().max(255).openapi({
    description: "Ignored: the file's name and content tell its format",
  }),
  purpose: z.enum(UPLOAD_PURPOSES),
  expires_after: z.strictObject({ anchor: z.unknown(), seconds: z.unknown() }).nullable().optional().openapi({
    type: "object",
    properties: {
      anchor: { type: "string", enum: ["created_at"] },
      seconds: { type: "integer", minimum: 3600, maximum: 2_592_000 },
    },
    required: ["anchor", "seconds"],
  }),
}).openapi("CreateUpload");

const completeSchema = z.strictObject({
  part_ids: z.array(z.string()).min(1).max(10_000).openapi({ description: "In the file's order" }),
  md5: z.string().regex(/^[0-9a-fA-F]{32}$/).nullable().optional(),
}).openapi("CompleteUpload");

/** Ten thousand ids of 30 characters. */
const MAX_COMPLETE_BYTES = 2 ** 20;

const createUpload = userRoute("post", "/v1/uploads", "createUpload", {
  summary: "Announce a file that comes in parts",
  request: { body: jsonBody(createSchema) },
  responses: { 200: jsonContent(uploadSchema, "Pending for an hour, or until the coordinator restarts") },
});

const partBodySchema = z.strictObject({ data: z.string().openapi({ format: "binary" }) });
const createPart = userRoute("post", "/v1/uploads/{id}/parts", "createUploadPart", {
  summary: "Send a part of up to 64 MiB; several may be sent at once",
  request: {
    params: idParameter,
    body: { required: true, content: { "multipart/form-data": { schema: partBodySchema } } },
  },
  responses: { 200: jsonContent(partSchema, "The part is stored") },
});

const completeUpload = userRoute("post", "/v1/uploads/{id}/complete", "completeUpload", {
  summary: "Join the parts",
  request: { params: idParameter, body: jsonBody(completeSchema) },
  responses: { 200: jsonContent(uploadSchema, "Completed, with its file") },
});

const cancelUpload = userRoute("post", "/v1/uploads/{id}/cancel", "cancelUpload", {
  summary: "Drop an upload and its parts",
  request: { params: idParameter },
  responses: { 200: jsonContent(uploadSchema, "Cancelled") },
});

export function addUploadRoutes(api: Api, { uploads, room }: ApiServices): void {
  addDescribed(api, createUpload, async (c) => {
    const { bytes, filename, purpose, expires_after } = await readObject(c, createSchema);
    const fileLifetimeMs = expires_after === null || expires_after === undefined
      ? null
      : parseExpiresAfter(expires_after.anchor ?? "", expires_after.seconds);
    // The parts, and the file that they are joined to.
    await room.assertRoomFor(2 * bytes, `an upload of ${bytes} bytes in parts`);
    return c.json(
      uploadView(uploads.create({ bytes, filename, purpose, fileLifetimeMs, owner: ownerFor(c) })),
      200,
    );
  });

  addDescribed(api, createPart, async (c) => {
    const { id } = uploads.get(pathParameter(c, "id"));
    for await (const part of readForm(c, MAX_PART_BYTES, "data")) {
      if (part.name !== "data") throw invalidField(part.name, "is unknown; the only field is data");
      return c.json(partView(await uploads.addPart(id, part.body)), 200);
    }
    throw invalidField("data", "is missing");
  });

  addDescribed(api, completeUpload, async (c) => {
    const { part_ids, md5 } = await readObject(c, completeSchema, MAX_COMPLETE_BYTES);
    return c.json(uploadView(await uploads.complete(pathParameter(c, "id"), part_ids, md5 ?? null)), 200);
  });

  api.openapi(cancelUpload, async (c) => {
    return c.json(uploadView(await uploads.cancel(c.req.valid("param").id)), 200);
  });
}

function uploadView(upload: Upload): z.output<typeof uploadSchema> {
  const { id, bytes, filename, purpose, status, file } = upload;
  return {
    ...{ object: "upload", id, bytes, filename, purpose, status },
    created_at: seconds(upload.createdAt),
    expires_at: seconds(upload.expiresAt),
    file: file === null ? null : fileView(file),
  };
}

function partView({ id, uploadId, createdAt }: UploadPart): z.output<typeof partSchema> {
  return { object: "upload.part", id, created_at: seconds(createdAt), upload_id: uploadId };
}
