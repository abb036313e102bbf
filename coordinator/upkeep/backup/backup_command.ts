/** `deno task backup`: from the folder itself if nobody uses it, otherwise from its coordinator. */
import { dirname } from "@std/path";
import { LoraFleetError, messageOf, quote } from "../../../shared/errors.ts";
import { PRIVATE_FILE_MODE } from "../../storage/private_folder.ts";
import { readRunning } from "../running.ts";
import { openBackup } from "./backup.ts";
import { openOffline } from "./offline.ts";
import type { BackupOptions } from "./options.ts";

/** Names files that are recorded and not there, in an answer of the API. */
export const MISSING_HEADER = "x-lorafleet-missing";

interface Written {
  readonly bytes: number;
  readonly missing: readonly string[];
}

/** Throws `conflict` if the file exists, `not_found`, `unauthorized`, `storage`, `timeout`. Nothing is left behind then. */
export async function writeBackup(
  { source, out }: BackupOptions,
  apiKey: string | null,
  now: number,
): Promise<Written> {
  if (await Deno.stat(out).then(() => true, () => false)) {
    const message = `--out ${quote(out)} exists: a backup is never overwritten; choose a different name`;
    throw new LoraFleetError("conflict", message, { param: "out" });
  }
  if ("url" in source) return await fromCoordinator(source.url, apiKey, null, out);
  const { dataFolder } = source;
  try {
    using folder = await openOffline(dataFolder);
    const { stream, missing } = await openBackup(folder, now);
    return { bytes: await writeWhole(stream, out), missing };
  } catch (thrown) {
    if (!(thrown instanceof LoraFleetError) || thrown.code !== "conflict") throw thrown;
    const running = await readRunning(dataFolder);
    if (running !== null) return await fromCoordinator(running.url, running.key, running.tlsCa, out);
    const message = `${thrown.message}, which does not serve its API yet: try again, or use --url`;
    throw new LoraFleetError("conflict", message, { param: "data-folder" });
  }
}

async function fromCoordinator(
  url: string,
  key: string | null,
  tlsCa: string | null,
  out: string,
): Promise<Written> {
  const client = tlsCa === null ? null : Deno.createHttpClient({ caCerts: [tlsCa] });
  try {
    const response = await fetch(`${url}/v1/backups`, {
      method: "POST",
      headers: key === null ? {} : { authorization: `Bearer ${key}` },
      ...client === null ? {} : { client },
    }).catch((cause) => {
      const message = `the coordinator at ${url} cannot be reached: ${messageOf(cause)}`;
      throw new LoraFleetError("timeout", message, { cause });
    });
    if (!response.ok || response.body === null) {
      throw new LoraFleetError(
        "unauthorized",
        `POST ${url}/v1/backups: ${messageOfBody(await response.text())}`,
      );
    }
    const missing = (response.headers.get(MISSING_HEADER) ?? "").split(" ").filter((path) => path !== "");
    return { bytes: await writeWhole(response.body, out), missing: missing.map(decodeURIComponent) };
  } finally {
    client?.close();
  }
}

/** All of it, or no file. Returns the number of bytes. */
async function writeWhole(stream: ReadableStream<Uint8Array>, out: string): Promise<number> {
  const part = `${out}.part`;
  try {
    await Deno.mkdir(dirname(out), { recursive: true });
    // An earlier try may have been killed.
    using file = await Deno.open(part, {
      write: true,
      create: true,
      truncate: true,
      mode: PRIVATE_FILE_MODE,
    });
    let bytes = 0;
    for await (const chunk of stream) {
      for (let at = 0; at < chunk.length;) at += await file.write(chunk.subarray(at));
      bytes += chunk.length;
    }
    await file.sync();
    await Deno.rename(part, out);
    return bytes;
  } catch (cause) {
    await Deno.remove(part).catch(() => {});
    if (cause instanceof LoraFleetError) throw cause;
    throw new LoraFleetError("storage", `cannot write ${quote(out)}: ${messageOf(cause)}`, {
      param: "out",
      cause,
    });
  }
}

function messageOfBody(text: string): string {
  try {
    return JSON.parse(text).error.message;
  } catch {
    return text.slice(0, 200);
  }
}
