/** A thread that reads damaged Parquet files: before each it says which one, and what it decodes of it. */
import { LoraFleetError } from "../../errors.ts";
import { bytesInMemory } from "./data_bytes.ts";
import { readParquetRows } from "./parquet.ts";

interface Thread {
  onmessage: (event: MessageEvent) => void;
  postMessage(message: unknown): void;
}
const thread = self as unknown as Thread;

thread.onmessage = async ({ data: { copies, from } }) => {
  for (let at = from; at < copies.length; at++) {
    thread.postMessage({ at });
    const onDecode = (decoding: { what: string } | null) =>
      thread.postMessage({ at, decoding: decoding?.what });
    await Array.fromAsync(readParquetRows(bytesInMemory(copies[at]), { onDecode })).catch((thrown) => {
      if (thrown instanceof LoraFleetError && thrown.code === "invalid_dataset") return;
      thread.postMessage({ at, wrong: String(thrown?.stack ?? thrown) });
    });
  }
  thread.postMessage({ at: copies.length });
};
