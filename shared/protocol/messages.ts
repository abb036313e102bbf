/** Every control message: its type, its parser, and JSON bytes in both directions. Gradient frames are not among them. */
export {
  decodeChecksums,
  decodeFloats,
  decodeMessage,
  encodeChecksums,
  encodeFloats,
  encodeMessage,
} from "./messages_codec.ts";
export * from "./messages_worker.ts";
export * from "./messages_coordinator.ts";
export * from "./messages_work_item.ts";
