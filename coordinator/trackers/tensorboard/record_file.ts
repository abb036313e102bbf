/** TFRecord, the container of event files: length (u64), its checksum, the data, its checksum; all little-endian. */
import { maskedCrc32c } from "./crc32c.ts";

const HEADER_BYTES = 12;
const FOOTER_BYTES = 4;

export function encodeRecord(data: Uint8Array): Uint8Array {
  const record = new Uint8Array(HEADER_BYTES + data.length + FOOTER_BYTES);
  const view = new DataView(record.buffer);
  view.setBigUint64(0, BigInt(data.length), true);
  view.setUint32(8, maskedCrc32c(record.subarray(0, 8)), true);
  record.set(data, HEADER_BYTES);
  view.setUint32(HEADER_BYTES + data.length, maskedCrc32c(data), true);
  return record;
}

/** How many of the bytes are whole records with right checksums. */
export function wholeRecords(bytes: Uint8Array): number {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let end = 0;
  while (end + HEADER_BYTES + FOOTER_BYTES <= bytes.length) {
    if (view.getUint32(end + 8, true) !== maskedCrc32c(bytes.subarray(end, end + 8))) break;
    const length = Number(view.getBigUint64(end, true));
    const dataEnd = end + HEADER_BYTES + length;
    if (dataEnd + FOOTER_BYTES > bytes.length) break;
    if (view.getUint32(dataEnd, true) !== maskedCrc32c(bytes.subarray(end + HEADER_BYTES, dataEnd))) break;
    end = dataEnd + FOOTER_BYTES;
  }
  return end;
}
