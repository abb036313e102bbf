import { assertEquals, assertRejects, assertStringIncludes, assertThrows } from "@std/assert";
import { join } from "@std/path";
import { LoraFleetError } from "../../../errors.ts";
import { chooseTemplate, readChatTemplates } from "./named_templates.ts";

async function folderWith(files: Readonly<Record<string, string>>): Promise<string> {
  const folder = await Deno.makeTempDir();
  await Deno.mkdir(join(folder, "additional_chat_templates"));
  for (const [name, text] of Object.entries(files)) await Deno.writeTextFile(join(folder, name), text);
  return folder;
}

const CONFIGURED = [{ name: "default", template: "D" }, { name: "tool_use", template: "T" }];
const TOOL_USE = "additional_chat_templates/tool_use.jinja";

Deno.test("files of their own replace all that the config has", async () => {
  assertEquals(await readChatTemplates(await folderWith({}), "C"), "C");
  assertEquals(
    await readChatTemplates(await folderWith({}), CONFIGURED),
    new Map([["default", "D"], ["tool_use", "T"]]),
  );
  assertEquals(
    await readChatTemplates(await folderWith({}), { default: "D", tool_use: "T" }),
    new Map([["default", "D"], ["tool_use", "T"]]),
  );
  const single = await folderWith({ "chat_template.jinja": "J\r\nK" });
  assertEquals(await readChatTemplates(single, CONFIGURED), "J\nK");
  const both = await folderWith({
    "chat_template.jinja": "J",
    [TOOL_USE]: "U",
    "additional_chat_templates/rag.jinja": "R",
  });
  assertEquals(
    await readChatTemplates(both, CONFIGURED),
    new Map([["default", "J"], ["rag", "R"], ["tool_use", "U"]]),
  );
  assertEquals(
    await readChatTemplates(await folderWith({ [TOOL_USE]: "U" }), "C"),
    new Map([["tool_use", "U"]]),
  );
});

Deno.test("chat_template.json counts where there is nothing else", async () => {
  const files = { "chat_template.json": `{"chat_template": "L"}` };
  assertEquals(await readChatTemplates(await folderWith(files), null), "L");
  assertEquals(await readChatTemplates(await folderWith(files), "C"), "C");
  assertEquals(await readChatTemplates(await folderWith({}), null), null);
  for (const text of ["{", "[]", `{"chat_template": 5}`]) {
    const folder = await folderWith({ "chat_template.json": text });
    const error = await assertRejects(() => readChatTemplates(folder, null), LoraFleetError);
    assertEquals([error.code, error.param], ["invalid_model", "chat_template.json"]);
  }
});

Deno.test("tool_use is for rows with tools, default for all others", () => {
  const both = new Map([["default", "D"], ["tool_use", "T"]]);
  assertEquals([chooseTemplate(both, true), chooseTemplate(both, false)], ["T", "D"]);
  const other = new Map([["default", "D"], ["rag", "R"]]);
  assertEquals([chooseTemplate(other, true), chooseTemplate(other, false)], ["D", "D"]);
  assertEquals([chooseTemplate("S", true), chooseTemplate(null, false)], ["S", null]);
});

Deno.test("several templates without a default are refused with their names", () => {
  const tools = new Map([["tool_use", "T"], ["rag", "R"]]);
  assertEquals(chooseTemplate(tools, true), "T");
  const error = assertThrows(() => chooseTemplate(tools, false), LoraFleetError);
  assertEquals(error.code, "invalid_model");
  assertStringIncludes(error.message, 'the chat templates "rag", "tool_use", but none called "default"');
});
