/** The SHA-256 of files, computed once for each path, size and modification time. */
import { createHash } from "node:crypto";
import { z } from "zod";
import { LoraFleetError, messageOf, quote } from "../../shared/errors.ts";
import { writeStreamedFile } from "../storage/streamed_file.ts";
import { parseJson } from "./files.ts";

export interface HashCache {
  /** Throws a `LoraFleetError` with code `storage` if the file cannot be read, and the reason of `signal`. */
  hash(path: string, signal?: AbortSignal): Promise<{ size: number; sha256: string }>;
}

const cacheSchema = z.record(
  z.string(),
  z.object({ size: z.int(), modifiedMs: z.number(), sha256: z.string() }),
);

/** Keeps the hashes in a JSON file, so that a restart need not read tens of gigabytes again. */
export function createHashCache(cachePath: string): HashCache {
  let loaded: Promise<Map<string, z.output<typeof cacheSchema>[string]>> | null = null;
  const load = async () => {
    // An unreadable cache only costs hashing the models again.
    const text = await Deno.readTextFile(cachePath).catch(() => "{}");
    const parsed = cacheSchema.safeParse(parseJson(text));
    return new Map(Object.entries(parsed.success ? parsed.data : {}));
  };
  return {
    async hash(path, signal) {
      const entries = await (loaded ??= load());
      try {
        const { size, mtime } = await Deno.stat(path);
        const modifiedMs = mtime?.getTime() ?? 0;
        const known = entries.get(path);
        if (known !== undefined && known.size === size && known.modifiedMs === modifiedMs) {
          return { size, sha256: known.sha256 };
        }
        const hash = createHash("sha256");
        for await (const chunk of (await Deno.open(path)).readable) {
          signal?.throwIfAborted();
          hash.update(chunk);
        }
        entries.set(path, { size, modifiedMs, sha256: hash.digest("hex") });
      } catch (thrown) {
        if (signal?.aborted === true) throw thrown;
        throw new LoraFleetError("storage", `cannot read ${quote(path)}: ${messageOf(thrown)}`, {
          cause: thrown,
        });
      }
      const bytes = new TextEncoder().encode(JSON.stringify(Object.fromEntries(entries)));
      await writeStreamedFile(cachePath, ReadableStream.from([bytes]), { maxBytes: bytes.byteLength });
      const { size, sha256 } = entries.get(path)!;
      return { size, sha256 };
    },
  };
}
