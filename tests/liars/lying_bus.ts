/** What a liar's connections do: frames and reports that differ from what its own all-reduce and agent believe. */
import type { Bus, BusMessage } from "../../shared/bus/bus.ts";
import { decodeMessage, encodeMessage } from "../../shared/protocol/messages_codec.ts";
import { type UpdateReport, updateReportSchema } from "../../shared/protocol/messages_worker.ts";
import { decodeFrame, encodeFrame, type TensorFrame } from "../../shared/protocol/tensor_frame.ts";

/** Null: the frame stays as it is. */
export type ChangeFrame = (frame: TensorFrame) => Int32Array | null;

function changed(data: Uint8Array, change: ChangeFrame): Uint8Array {
  const frame = decodeFrame(data);
  const payload = change(frame);
  return payload === null ? data : encodeFrame(frame, payload);
}

/** Some chunks of sums get another number, with a checksum that fits. */
export const another = (isMeant: (frame: TensorFrame) => boolean): ChangeFrame => (frame) =>
  frame.kind === "reduce_scatter" && isMeant(frame)
    ? frame.payload.map((value, i) => i === 3 ? value + 1000 : value)
    : null;

/** It sends other sums than it believes to send. */
export function sendsOther(bus: Bus, change: ChangeFrame): Bus {
  return { ...bus, publish: (subject, data) => bus.publish(subject, changed(data, change)) };
}

/** It adds other sums than were sent to it, and gives everybody the same wrong total. */
export function addsOther(bus: Bus, change: ChangeFrame): Bus {
  const heard = (message: BusMessage): BusMessage =>
    message.subject.includes(".reduce_scatter.")
      ? { ...message, data: changed(message.data, change) }
      : message;
  return {
    ...bus,
    subscribe: (subject, handler) => bus.subscribe(subject, (message) => handler(heard(message))),
  };
}

/** Its reports of updates are others. */
export function reportsOther(bus: Bus, change: (report: UpdateReport) => UpdateReport): Bus {
  return {
    ...bus,
    request: (subject, data, timeoutMs) => {
      if (!subject.includes(".update.")) return bus.request(subject, data, timeoutMs);
      const report = decodeMessage(updateReportSchema, data, "an update");
      return bus.request(subject, encodeMessage(updateReportSchema, change(report)), timeoutMs);
    },
  };
}
