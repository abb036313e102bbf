/** Whether the disk has room for an export, before its first byte is written. */
import { statfsSync } from "node:fs";
import { LoraFleetError } from "../../../shared/errors.ts";

/** Left free for the coordinator's own records. */
const RESERVE_BYTES = 64 * 2 ** 20;

/** @throws LoraFleetError `storage` with the bytes that are needed and that are free */
export function assertRoomFor(bytes: number, freeBytes: number, reserveBytes: number = RESERVE_BYTES): void {
  if (bytes + reserveBytes <= freeBytes) return;
  const message =
    `the export needs ${bytes} bytes on the coordinator's disk and leaves ${reserveBytes} free for its ` +
    `records, but only ${freeBytes} bytes are free: make room, for example by deleting an earlier export`;
  throw new LoraFleetError("storage", message, { param: "export" });
}

export function freeBytesOf(folder: string): number {
  const { bavail, bsize } = statfsSync(folder);
  return Number(bavail) * Number(bsize);
}
