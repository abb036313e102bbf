/** Templates in plain text, packed: the tutorial's Korean texts become rows whose labels are the responses' tokens alone. */
import { assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { IGNORE_INDEX } from "../../../shared/data/packing/micro_batch.ts";
import { toMicroBatch } from "../../../shared/data/packing/packing.ts";
import { LoraFleetError } from "../../../shared/errors.ts";
import { prepare, rowsOf, specOf, tokenizer } from "./dataset_fixture.ts";

const TEMPLATES = { response_template: "<bot>", instruction_template: "<usr>" };
const CHATS = [
  { text: "<usr> 안녕하세요?\n<bot> 네, 안녕하세요.\n<usr> 고마워요!\n<bot> 천만에요." },
  { text: "<usr> 서울은?\n<bot> 한국의 수도입니다." },
];

Deno.test("packed rows of templates: labels are the responses, documents do not see each other", async () => {
  const { rows } = await prepare(CHATS, specOf({ ...TEMPLATES, max_seq_length: 512 }));
  assertEquals(rowsOf(rows).map(({ documents }) => documents.length), [2]);
  const { tokens, labels, positions, segmentStarts } = toMicroBatch(rowsOf(rows));
  const trained = [...labels].filter((label) => label !== IGNORE_INDEX);
  assertEquals(tokenizer.decode(trained), " 네, 안녕하세요.\n 천만에요.</s> 한국의 수도입니다.</s>");
  const second = positions.indexOf(0, 1);
  assertEquals([segmentStarts[second - 1], segmentStarts[second]], [0, second]);
  assertEquals(labels[second - 1], IGNORE_INDEX);
  assertEquals(tokens[second], tokenizer.bosTokenId);
});

Deno.test("a row without the response template is left out with a warning; if all are, the job is refused", async () => {
  const { report } = await prepare([CHATS[0], { text: "<usr> 혼자" }, CHATS[1]], specOf(TEMPLATES));
  assertEquals(report.exampleCount, 2);
  assertEquals(report.warnings, [
    "1 of 3 rows (the first is line 2) are left out: they do not contain dataset.response_template.",
  ]);
  const spec = specOf({ ...TEMPLATES, response_template: "<assistant>" });
  const error = await assertRejects(() => prepare(CHATS, spec), LoraFleetError);
  assertEquals([error.code, error.param], ["invalid_dataset", "line 1"]);
  assertStringIncludes(
    error.message,
    'does not contain dataset.response_template, "<assistant>"; its text is "<usr> 안녕',
  );
});
