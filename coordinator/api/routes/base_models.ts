/** `/v1/base-models/{hash}`: the files of a base model, for workers. */
import { z } from "@hono/zod-openapi";
import { LoraFleetError, quote } from "../../../shared/errors.ts";
import { modelManifestSchema } from "../../../shared/model/model_manifest.ts";
import { serveFile } from "../transport/serve_file.ts";
import { addDescribed, type Api, bytesContent, jsonContent, pathParameter, workerRoute } from "./describe.ts";
import type { ApiServices } from "./services.ts";

const params = z.object({ hash: z.string() });

const retrieveBaseModel = workerRoute("get", "/v1/base-models/{hash}", "retrieveBaseModel", {
  summary: "The files of a base model with their SHA-256",
  request: { params },
  responses: { 200: jsonContent(modelManifestSchema, "The manifest") },
});

const downloadFile = workerRoute("get", "/v1/base-models/{hash}/files/{name}", "downloadBaseModelFile", {
  summary: "Download a file of a base model, whole or in ranges",
  request: {
    params: params.extend({ name: z.string() }),
    headers: z.object({ range: z.string().optional() }),
  },
  responses: { 200: bytesContent("The file's bytes"), 206: bytesContent("A range of them") },
});

export function addBaseModelRoutes(api: Api, { models }: ApiServices): void {
  api.openapi(retrieveBaseModel, (c) => c.json(models.byHash(c.req.valid("param").hash).manifest, 200));

  addDescribed(api, downloadFile, async (c) => {
    const { folder, manifest } = models.byHash(pathParameter(c, "hash"));
    const name = pathParameter(c, "name");
    const file = manifest.files.find((listed) => listed.name === name);
    if (file === undefined) {
      const message = `base model ${manifest.hash} has no file ${quote(name)}`;
      throw new LoraFleetError("not_found", message, { param: "name" });
    }
    return await serveFile(c.req.raw, { ...file, path: `${folder}/${name}`, filename: name });
  });
}
