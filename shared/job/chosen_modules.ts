/** Which of the targeted layers keep their adapter: PEFT's rules for `exclude_modules`, `layers_to_transform`, `layers_pattern`. */
import { LoraFleetError, quote } from "../errors.ts";
import type { LoraSpec } from "./job_spec_schema.ts";
import type { LinearModule, ModelModules } from "../model/model_tensors.ts";
import { compileNames, isListed, targetedModules } from "./target_modules.ts";

/** The fields that choose. */
export type ModuleChoice = Pick<
  LoraSpec,
  "target_modules" | "exclude_modules" | "layers_to_transform" | "layers_pattern"
>;

/** In the model's order. Throws `invalid_request` naming the field. */
export function chosenModules(choice: ModuleChoice, modules: ModelModules): LinearModule[] {
  const excludes = exclusionOf(choice, modules);
  const { linear, other } = modules;
  const targeted = targetedModules(choice.target_modules, {
    linear,
    other: other.filter((name) => !excludes(name)),
  });
  const left = targeted.filter(({ name }) => !excludes(name));
  if (left.length === 0) {
    const message = `lora.exclude_modules is ${quote(choice.exclude_modules)}, which leaves none of the ` +
      `${targeted.length} layers that lora.target_modules names`;
    throw invalid("exclude_modules", message);
  }
  return inLayers(choice, left);
}

/** What needs no model: patterns that compile, and fields that go together. Throws as `chosenModules`. */
export function checkModuleChoice({ layers_pattern: pattern, ...choice }: ModuleChoice): void {
  const { target_modules: targets, exclude_modules: excluded, layers_to_transform: layers } = choice;
  if (typeof excluded === "string") compileNames("lora.exclude_modules", excluded);
  for (const layerPattern of listOf(pattern)) compileLayers(layerPattern);
  if (pattern !== undefined && layers === undefined) {
    const message = `lora.layers_pattern is ${
      quote(pattern)
    } without lora.layers_to_transform, whose numbers it is for`;
    throw invalid("layers_pattern", message);
  }
  if (layers !== undefined && typeof targets === "string") {
    const message =
      `lora.layers_to_transform is ${quote(layers)}, but lora.target_modules is a text (${
        quote(targets)
      }); list the ` +
      "modules by their last names, or write the layers into the pattern";
    throw invalid("layers_to_transform", message);
  }
}

function exclusionOf(choice: ModuleChoice, { linear, other }: ModelModules): (name: string) => boolean {
  const { exclude_modules: excluded } = choice;
  if (excluded === undefined) return () => false;
  const names = [...linear.map(({ name }) => name), ...other];
  const matches = typeof excluded === "string"
    ? compileNames("lora.exclude_modules", excluded)
    : (name: string) => excluded.some((listed) => isListed(name, listed));
  const useless = typeof excluded === "string"
    ? [excluded].filter(() => !names.some(matches))
    : excluded.filter((listed) => !names.some((name) => isListed(name, listed)));
  if (useless.length === 0) return matches;
  const message = `lora.exclude_modules: ${
    useless.map(quote).join(", ")
  } matches no module of the base model`;
  throw invalid("exclude_modules", message);
}

function inLayers(choice: ModuleChoice, modules: readonly LinearModule[]): LinearModule[] {
  const { target_modules: targets, layers_to_transform: wanted, layers_pattern: pattern } = choice;
  if (wanted === undefined) return [...modules];
  const numbers = typeof wanted === "number" ? [wanted] : wanted;
  const isPlace = placeTest(listOf(pattern));
  const found = modules.map((module) => ({
    module,
    layer: isPlace(module.name) ? layerOf(module.name) : null,
  }));
  const missing = numbers.filter((number) => !found.some(({ layer }) => layer === number));
  if (missing.length > 0) {
    const layers = found.flatMap(({ layer }) => layer === null ? [] : [layer]);
    const known = layers.length === 0
      ? `no targeted module lies in numbered layers${
        pattern === undefined ? "" : ` called ${quote(pattern)}`
      }`
      : `the targeted modules lie in layers ${Math.min(...layers)} to ${Math.max(...layers)}`;
    throw invalid(
      "layers_to_transform",
      `lora.layers_to_transform names layer ${missing.join(", ")}, but ${known}`,
    );
  }
  // PEFT does not look at the layer of a module that is listed by its whole name.
  const isWhole = (name: string) => Array.isArray(targets) && targets.includes(name);
  return found.filter(({ module, layer }) =>
    isWhole(module.name) || (layer !== null && numbers.includes(layer))
  ).map(({ module }) => module);
}

/** Whether a module's name has a number where PEFT looks for its layer's. */
function placeTest(patterns: readonly string[]): (name: string) => boolean {
  if (patterns.length === 0) return (name) => /^.*?\.[^.]*\.\d+\./.test(name);
  const tests = patterns.map(compileLayers);
  return (name) => tests.some((test) => test(name));
}

function compileLayers(pattern: string): (name: string) => boolean {
  return compileNames("lora.layers_pattern", pattern, `(?:^|.*?\\.)${pattern}\\.\\d+\\..*`);
}

/** The first number among the parts of a name. */
function layerOf(name: string): number | null {
  const part = name.split(".").find((part) => /^\d+$/.test(part));
  return part === undefined ? null : Number(part);
}

function listOf(value: string | readonly string[] | undefined): readonly string[] {
  return value === undefined ? [] : typeof value === "string" ? [value] : value;
}

function invalid(field: keyof ModuleChoice, message: string): LoraFleetError {
  return new LoraFleetError("invalid_request", message, { param: `lora.${field}` });
}
