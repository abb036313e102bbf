import { iterate } from "../../../python/values/protocols.ts";
import { PyError, typeName, type Value } from "../../../python/values/value.ts";
import { TemplateSyntaxError } from "../parse/errors.ts";
import type { Expr } from "../parse/nodes.ts";
import { Namespace } from "../runtime/objects.ts";
import type { Frame } from "../runtime/frame.ts";
import type { Scope } from "./scope.ts";

export type Assign = (frame: Frame, value: Value) => void;

/** What `set`, `for` and `with` assign to: a name, `ns.name`, or several of them. */
export function compileTarget(target: Expr, scope: Scope): Assign {
  if (target.kind === "Name") return scope.write(target.name);
  if (target.kind === "NSRef") {
    const read = scope.read(target.name);
    const { attr } = target;
    return (frame, value) => namespace(read(frame)).set(attr, value);
  }
  if (target.kind !== "Tuple") throw new TemplateSyntaxError("can't assign", target.line);
  const targets = target.items.map((item) => compileTarget(item, scope));
  return (frame, value) => {
    const values = unpack(value, targets.length);
    targets.forEach((assign, i) => assign(frame, values[i]!));
  };
}

/** Checks what `ns.name = value` is assigned to, before the value is computed. */
export function compileNamespaceCheck(target: Expr, scope: Scope): (frame: Frame) => void {
  if (target.kind === "NSRef") {
    const read = scope.read(target.name);
    return (frame) => void namespace(read(frame));
  }
  if (target.kind !== "Tuple") return () => {};
  const checks = target.items.map((item) => compileNamespaceCheck(item, scope));
  return (frame) => checks.forEach((check) => check(frame));
}

function namespace(value: Value | undefined): Namespace {
  if (value instanceof Namespace) return value;
  throw new PyError("TemplateRuntimeError", "cannot assign attribute on non-namespace object");
}

function unpack(value: Value, count: number): readonly Value[] {
  if (Array.isArray(value) && value.length === count) return value;
  if (
    value === null || typeof value === "boolean" || typeof value === "bigint" || typeof value === "number"
  ) {
    throw new PyError("TypeError", `cannot unpack non-iterable ${typeName(value)} object`);
  }
  const items: Value[] = [];
  for (const item of iterate(value)) {
    if (items.length === count) {
      throw new PyError("ValueError", `too many values to unpack (expected ${count})`);
    }
    items.push(item);
  }
  if (items.length < count) {
    throw new PyError("ValueError", `not enough values to unpack (expected ${count}, got ${items.length})`);
  }
  return items;
}
