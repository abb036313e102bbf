/** One of the threads of a preparation that build rows. */
import { buildRows, createRowBuilder, type RowBuilder } from "../../../shared/data/examples/row_builder.ts";
import { serveCalls } from "../../../shared/std/thread_calls.ts";
import { loadJobTokenizer } from "./job_tokenizer.ts";
import { answerOf, type RowsAnswer, type RowsCall } from "./rows_calls.ts";

let builder: RowBuilder | null = null;

serveCalls<RowsCall, RowsAnswer>(async ({ modelFolder, spec, unit, rows }) => {
  builder ??= createRowBuilder({ ...await loadJobTokenizer(modelFolder), spec, unit });
  const answer = answerOf(buildRows(builder, rows));
  const { lengths, tokens, completionMask } = answer;
  return { answer, transfer: [lengths.buffer, tokens.buffer, completionMask.buffer] };
});
