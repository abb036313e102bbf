/** tokenizer.json's `post_processor`: the ids that it puts around a text. */
import { z } from "zod";
import { LoraFleetError, quote } from "../../../errors.ts";
import { unsupported } from "../files/json.ts";

export interface Surroundings {
  readonly before: readonly number[];
  readonly after: readonly number[];
}

const tokenSchema = z.tuple([z.string(), z.int().min(0)]);
const schemas = {
  Sequence: z.looseObject({ processors: z.array(z.unknown()) }),
  BertProcessing: z.looseObject({ cls: tokenSchema, sep: tokenSchema }),
  TemplateProcessing: z.looseObject({
    single: z.array(z.union([
      z.object({ SpecialToken: z.looseObject({ id: z.string() }) }),
      z.object({ Sequence: z.looseObject({ id: z.string() }) }),
    ])),
    special_tokens: z.record(z.string(), z.looseObject({ ids: z.array(z.int().min(0)) })),
  }),
};

/** Throws a `LoraFleetError` with code `invalid_model`, or a `z.ZodError` for fields of a different shape. */
export function readSurroundings(json: unknown): Surroundings {
  if (json === null || json === undefined) return { before: [], after: [] };
  const { type } = z.looseObject({ type: z.string() }).parse(json);
  if (type === "ByteLevel") return { before: [], after: [] };
  if (type === "BertProcessing" || type === "RobertaProcessing") {
    const { cls, sep } = schemas.BertProcessing.parse(json);
    return { before: [cls[1]], after: [sep[1]] };
  }
  if (type === "TemplateProcessing") return readTemplate(schemas.TemplateProcessing.parse(json));
  if (type === "Sequence") {
    return schemas.Sequence.parse(json).processors.map(readSurroundings).reduce(
      (inner, outer) => ({
        before: [...outer.before, ...inner.before],
        after: [...inner.after, ...outer.after],
      }),
      { before: [], after: [] },
    );
  }
  throw unsupported("post_processor", type);
}

function readTemplate({ single, special_tokens }: z.output<typeof schemas.TemplateProcessing>): Surroundings {
  const place = single.findIndex((part) => "Sequence" in part);
  const idsOf = (parts: typeof single): number[] =>
    parts.flatMap((part) => {
      if (!("SpecialToken" in part)) return [];
      const { id } = part.SpecialToken;
      const token = special_tokens[id];
      if (token === undefined) {
        throw invalid(`its template names ${quote(id)}, which its special_tokens lack`);
      }
      return token.ids;
    });
  if (place === -1 || single.filter((part) => "Sequence" in part).length > 1) {
    throw invalid(`its template ${quote(single)} does not have the text once`);
  }
  return { before: idsOf(single.slice(0, place)), after: idsOf(single.slice(place + 1)) };
}

function invalid(what: string): LoraFleetError {
  return new LoraFleetError("invalid_model", `tokenizer.json: post_processor: ${what}`, {
    param: "tokenizer.json",
  });
}
