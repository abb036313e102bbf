/**
 * The protobuf messages of an event file, as tensorboard/compat/proto/{event,summary,tensor}.proto and the plugins text and
 * hparams have them. The numbers are those of the fields.
 */
import { bool, bytes, double, float, int, type Message, message } from "./protobuf.ts";

const DATA_TYPE = { float: 1, string: 7 } as const;
/** tensorboard.hparams.Status. */
const STATUS = { success: 1, failure: 2 } as const;

/** `at`: milliseconds since the Unix epoch. */
function event(at: number, step: number, ...what: readonly Message[]): Message {
  return message(double(1, at / 1000), int(2, step), ...what);
}

function summary(values: readonly Message[]): Message {
  return bytes(5, message(...values.map((value) => bytes(1, value))));
}

export function fileVersion(at: number): Message {
  return event(at, 0, bytes(3, "brain.Event:2"));
}

/** One event with a scalar for each tag. */
export function scalars(at: number, step: number, values: Readonly<Record<string, number>>): Message {
  const entries = Object.entries(values).map(([tag, value]) => message(bytes(1, tag), float(2, value)));
  return event(at, step, summary(entries));
}

/** A text for the dashboard of that name, which shows Markdown. */
export function text(at: number, tag: string, markdown: string): Message {
  const shape = bytes(2, bytes(2, int(1, 1)));
  const tensor = message(int(1, DATA_TYPE.string), shape, bytes(8, markdown));
  const metadata = bytes(1, bytes(1, "text"));
  return event(
    at,
    0,
    summary([message(bytes(1, `${tag}/text_summary`), bytes(9, metadata), bytes(8, tensor))]),
  );
}

/** Hyperparameters, for the dashboard that compares runs by them. */
export function sessionStart(
  at: number,
  name: string,
  hparams: Readonly<Record<string, unknown>>,
): Message {
  const entries = Object.entries(hparams).map(([key, value]) =>
    bytes(1, message(bytes(1, key), bytes(2, hparamValue(value))))
  );
  const info = message(...entries, bytes(4, name), double(5, at / 1000));
  return hparamsEvent(at, 0, "_hparams_/session_start_info", bytes(3, info));
}

export function sessionEnd(at: number, step: number, hasSucceeded: boolean): Message {
  const status = hasSucceeded ? STATUS.success : STATUS.failure;
  return hparamsEvent(
    at,
    step,
    "_hparams_/session_end_info",
    bytes(4, message(int(1, status), double(2, at / 1000))),
  );
}

/** The plugin keeps its data in the metadata of an empty tensor. */
function hparamsEvent(at: number, step: number, tag: string, data: Message): Message {
  const metadata = bytes(1, message(bytes(1, "hparams"), bytes(2, data)));
  const emptyTensor = message(int(1, DATA_TYPE.float), bytes(2, new Uint8Array()));
  return event(at, step, summary([message(bytes(1, tag), bytes(9, metadata), bytes(8, emptyTensor))]));
}

/** A google.protobuf.Value. */
function hparamValue(value: unknown): Message {
  if (typeof value === "number") return double(2, value);
  if (typeof value === "boolean") return bool(4, value);
  return bytes(3, typeof value === "string" ? value : JSON.stringify(value));
}
