/** The quantisation state that bitsandbytes stores beside an NF4 weight: a small JSON text as bytes. */
import { z } from "zod";
import { messageOf } from "../errors.ts";

/** Behind the name of the weight. */
export const NF4_STATE_SUFFIX = ".quant_state.bitsandbytes__nf4";

const stateSchema = z.looseObject({
  quant_type: z.literal("nf4"),
  /** Elements that share an absmax. */
  blocksize: z.literal(64),
  shape: z.tuple([z.int(), z.int()]),
  /** Absmax values that share one of their own. */
  nested_blocksize: z.literal(256).optional(),
  nested_offset: z.number().optional(),
});
type Nf4State = z.output<typeof stateSchema>;

/** The state, or why workers cannot use it. */
export function parseNf4State(bytes: Uint8Array): Nf4State | { readonly problem: string } {
  try {
    const parsed = stateSchema.safeParse(JSON.parse(new TextDecoder().decode(bytes)));
    if (parsed.success) return parsed.data;
    const issue = parsed.error.issues[0]!;
    return { problem: `${issue.path.join(".")}: ${issue.message}` };
  } catch (thrown) {
    return { problem: messageOf(thrown) };
  }
}
