import { assert, assertEquals } from "@std/assert";
import { goldenPath } from "../../../tests/golden/data_goldens.ts";
import { datasetSchema } from "../../job/job_spec_schema.ts";
import { fieldsOf, pyValue } from "../chat/masks/chat_fixture.ts";
import { createExampleBuilder } from "./examples.ts";
import { loadTokenizer } from "../tokenizer/tokenizer.ts";

const tokenizer = {
  ...await loadTokenizer(goldenPath("data/byte_level")),
  chatTemplate:
    "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>' }}{% endfor %}" +
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}",
};

/** Whether all tokens of a chat, and of a prompt with its completion, are trained. */
function areWhole(spec: object): [chat: boolean, completion: boolean] {
  const builder = createExampleBuilder(tokenizer, datasetSchema.parse(spec));
  const messages = [{ role: "user", content: "q" }, { role: "assistant", content: "a" }];
  const rows = [{ messages }, { prompt: "q", completion: " a" }];
  const [chat, completion] = rows.map((fields, line) =>
    builder.build({ line, fields: fieldsOf(pyValue(fields)) }).completionMask
  );
  assert(chat!.includes(1) && completion!.includes(1));
  return [!chat!.includes(0), !completion!.includes(0)];
}

Deno.test("assistant_only_loss is for chats alone, completion_only_loss for both where it is left out", () => {
  assertEquals(areWhole({}), [false, false]);
  assertEquals(areWhole({ completion_only_loss: false }), [true, true]);
  assertEquals(areWhole({ assistant_only_loss: false }), [true, false]);
  assertEquals(areWhole({ assistant_only_loss: true, completion_only_loss: false }), [false, true]);
});
