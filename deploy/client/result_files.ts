/** A finished job's files, downloaded and checked. */
import { LoraFleetError, quote } from "../../shared/errors.ts";
import type { ApiClient, Job } from "./api_client.ts";

export const ADAPTER_FILES = ["adapter_model.safetensors", "adapter_config.json"] as const;

/** By name. Throws `not_found` or `corrupt`. */
export async function downloadAdapter(
  api: ApiClient,
  job: Job,
): Promise<Map<string, Uint8Array<ArrayBuffer>>> {
  const stored = await Promise.all(job.result_files.map((id) => api.describeFile(id)));
  const files = new Map<string, Uint8Array<ArrayBuffer>>();
  for (const name of ADAPTER_FILES) {
    const file = stored.find(({ filename }) => filename === name || filename.endsWith(`/${name}`));
    if (!file) {
      const message = `the job's results have no ${name}, only ${quote(stored.map((f) => f.filename))}`;
      throw new LoraFleetError("not_found", message);
    }
    const bytes = await api.downloadFile(file.id);
    if (await sha256Hex(bytes) !== file.sha256) {
      throw new LoraFleetError("corrupt", `the downloaded ${name} does not have the SHA-256 ${file.sha256}`);
    }
    files.set(name, bytes);
  }
  return files;
}

/** SHA-256 in hex. */
export async function sha256Hex(bytes: Uint8Array<ArrayBuffer>): Promise<string> {
  return new Uint8Array(await crypto.subtle.digest("SHA-256", bytes)).toHex();
}
