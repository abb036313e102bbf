import { z } from "zod";
import { LoraFleetError, quote } from "../../../errors.ts";

export function unsupported(part: string, type: string | undefined): LoraFleetError {
  return new LoraFleetError("invalid_model", `tokenizer.json: the ${part} ${quote(type)} is not supported`, {
    param: "tokenizer.json",
  });
}

/** Tokens and their ids; a loop, since a schema of zod's takes long for hundreds of thousands of them. */
export const vocabularySchema = z.custom<Readonly<Record<string, number>>>(
  (value) =>
    typeof value === "object" && value !== null && !Array.isArray(value) &&
    Object.values(value).every((id) => Number.isInteger(id) && id >= 0),
  "an object from tokens to ids is needed",
).transform((vocabulary): ReadonlyMap<string, number> => new Map(Object.entries(vocabulary)));
