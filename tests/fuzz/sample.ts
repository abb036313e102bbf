/** A good message, and what decodes it. */
import type { z } from "zod";
import { decodeMessage, encodeMessage } from "../../shared/protocol/messages_codec.ts";

export interface Sample {
  readonly name: string;
  readonly bytes: Uint8Array;
  /** Whether its bytes are JSON. */
  readonly isMessage: boolean;
  /** The bytes again, from what the real decoder has made of them. */
  readonly throughDecoder: (bytes: Uint8Array) => Uint8Array;
}

export function message<S extends z.ZodType>(name: string, schema: S, value: z.input<S>): Sample {
  return {
    name,
    bytes: encodeMessage(schema, value),
    isMessage: true,
    throughDecoder: (bytes) => encodeMessage(schema, decodeMessage(schema, bytes, name) as z.input<S>),
  };
}
