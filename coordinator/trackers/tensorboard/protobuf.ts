/** Writes protobuf messages: a message is the concatenation of its fields. */
import { concat } from "../run/bytes.ts";

export type Message = Uint8Array<ArrayBuffer>;

const VARINT = 0;
const FIXED64 = 1;
const BYTES = 2;
const FIXED32 = 5;

export function message(...fields: readonly Message[]): Message {
  return concat(fields);
}

/** A whole number of at least 0. */
export function int(field: number, value: number): Message {
  return concat([tag(field, VARINT), varint(value)]);
}

export function bool(field: number, value: boolean): Message {
  return int(field, value ? 1 : 0);
}

export function double(field: number, value: number): Message {
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setFloat64(0, value, true);
  return concat([tag(field, FIXED64), bytes]);
}

export function float(field: number, value: number): Message {
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setFloat32(0, value, true);
  return concat([tag(field, FIXED32), bytes]);
}

/** A text, bytes, or a message. */
export function bytes(field: number, value: string | Uint8Array): Message {
  const data = typeof value === "string" ? new TextEncoder().encode(value) : value;
  return concat([tag(field, BYTES), varint(data.length), data]);
}

function tag(field: number, wireType: number): Message {
  return varint(field * 8 + wireType);
}

function varint(value: number): Message {
  const groups: number[] = [];
  for (let rest = value; groups.length === 0 || rest > 0; rest = Math.floor(rest / 128)) {
    groups.push(rest % 128);
  }
  return Uint8Array.from(groups, (group, index) => index < groups.length - 1 ? group | 128 : group);
}
