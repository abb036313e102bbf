/** Whether the disk has room, before anything is written. */
import { dirname } from "@std/path";
import { statfs } from "node:fs/promises";
import { LoraFleetError, quote } from "../errors.ts";

/** Free bytes for this user where `folder` is or will be; null if the system does not say. */
export async function freeBytes(folder: string): Promise<number | null> {
  for (let path = folder;; path = dirname(path)) {
    try {
      const { bavail, bsize } = await statfs(path);
      return bavail * bsize;
    } catch (thrown) {
      const isMissing = thrown instanceof Error && "code" in thrown && thrown.code === "ENOENT";
      if (!isMissing || dirname(path) === path) return null;
    }
  }
}

/** Throws `storage` with the bytes that are needed and free. */
export async function assertFreeSpace(folder: string, needed: number, what: () => string): Promise<void> {
  if (needed <= 0) return;
  const free = await freeBytes(folder);
  if (free === null || free >= needed) return;
  const message = `${what()} needs ${needed} bytes, but ${quote(folder)} has ${free} free`;
  throw new LoraFleetError("storage", message, { param: folder });
}
