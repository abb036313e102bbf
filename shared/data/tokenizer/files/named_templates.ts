/**
 * Which chat template a model has, and which of several a row takes: as transformers does it
 * (tokenization_utils_base.py: `_from_pretrained` and `get_chat_template`, 5.23).
 */
import { join } from "@std/path";
import { LoraFleetError, messageOf, quote } from "../../../errors.ts";

/** One template, or several by name. */
export type ChatTemplates = string | ReadonlyMap<string, string>;

/** tokenizer_config.json's `chat_template`. */
type ConfiguredTemplate =
  | string
  | readonly { readonly name: string; readonly template: string }[]
  | Readonly<Record<string, string>>;

const FILE = "chat_template.jinja";
/** Holds a model's further templates, each named after its file. */
export const TEMPLATE_FOLDER = "additional_chat_templates";
const LEGACY_FILE = "chat_template.json";
const EXTENSION = ".jinja";

/**
 * The templates in a model's folder. Files of their own (`chat_template.jinja` is the default, those in
 * `additional_chat_templates/` are named after themselves) replace all that tokenizer_config.json has. Where there are
 * neither, chat_template.json counts, which transformers reads for processors only. Throws a `LoraFleetError` with code
 * `invalid_model` that names the file.
 */
export async function readChatTemplates(
  folder: string,
  configured: ConfiguredTemplate | null,
): Promise<ChatTemplates | null> {
  const files = new Map<string, string>();
  const single = await readTemplate(folder, FILE);
  if (single !== null) files.set("default", single);
  for (const name of await templateNames(folder)) {
    files.set(name, (await readTemplate(folder, join(TEMPLATE_FOLDER, name + EXTENSION)))!);
  }
  if (files.size > 0) return files.size === 1 ? files.get("default") ?? files : files;
  if (typeof configured === "string") return configured;
  if (Array.isArray(configured)) {
    return new Map(configured.map(({ name, template }) => [name, template]));
  }
  if (configured !== null) return new Map(Object.entries(configured));
  return await readLegacy(folder);
}

/**
 * The template of a row: `tool_use` for one with tools if the model has it, else `default`. Null if the model has
 * no template at all. Throws a `LoraFleetError` with code `invalid_model` if it has several and none of them fits.
 */
export function chooseTemplate(templates: ChatTemplates | null, hasTools: boolean): string | null {
  if (templates === null || typeof templates === "string") return templates;
  const chosen = (hasTools ? templates.get("tool_use") : undefined) ?? templates.get("default");
  if (chosen !== undefined) return chosen;
  throw new LoraFleetError(
    "invalid_model",
    `the base model has the chat templates ${[...templates.keys()].sort().map(quote).join(", ")}, but none ` +
      `called "default", so rows ${hasTools ? "" : "without tools "}have no template; name one of them ` +
      `"default" in tokenizer_config.json's chat_template, or save it as ${FILE}`,
    { param: "chat_template" },
  );
}

/** Whether a path in a repository is one of the further templates. */
export function isNamedTemplate(path: string): boolean {
  return path.startsWith(`${TEMPLATE_FOLDER}/`) &&
    /^[A-Za-z0-9][\w.-]*\.jinja$/.test(path.slice(TEMPLATE_FOLDER.length + 1));
}

async function templateNames(folder: string): Promise<string[]> {
  const names: string[] = [];
  try {
    for await (const { name, isDirectory } of Deno.readDir(join(folder, TEMPLATE_FOLDER))) {
      if (!isDirectory && name.endsWith(EXTENSION)) names.push(name.slice(0, -EXTENSION.length));
    }
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound || error instanceof Deno.errors.NotADirectory)) {
      throw unreadable(TEMPLATE_FOLDER, error);
    }
  }
  return names.sort();
}

/** As Python opens a text file, CRLF becomes LF. */
async function readTemplate(folder: string, name: string): Promise<string | null> {
  try {
    return (await Deno.readTextFile(join(folder, name))).replaceAll(/\r\n?/g, "\n");
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return null;
    throw unreadable(name, error);
  }
}

async function readLegacy(folder: string): Promise<string | null> {
  const text = await readTemplate(folder, LEGACY_FILE);
  if (text === null) return null;
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new LoraFleetError("invalid_model", `${LEGACY_FILE} is not JSON: ${messageOf(cause)}`, {
      param: LEGACY_FILE,
      cause,
    });
  }
  const template = typeof value === "object" && value !== null && "chat_template" in value
    ? value.chat_template
    : undefined;
  if (typeof template === "string") return template;
  throw new LoraFleetError(
    "invalid_model",
    `${LEGACY_FILE} has the chat_template ${quote(template)}; a text is needed`,
    { param: LEGACY_FILE },
  );
}

function unreadable(name: string, cause: unknown): LoraFleetError {
  return new LoraFleetError("invalid_model", `cannot read ${name}: ${messageOf(cause)}`, {
    param: name,
    cause,
  });
}
