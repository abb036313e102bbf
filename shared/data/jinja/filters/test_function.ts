import { bind, parameters } from "../../../python/values/parameters.ts";
import type { Kwargs, Value } from "../../../python/values/value.ts";

export type TestFunction = (value: Value, args: readonly Value[], kwargs: Kwargs) => boolean;

/** A test whose arguments after the value have names: see `parameters`. */
export function test(
  signature: string,
  holds: (value: Value, ...args: (Value | undefined)[]) => boolean,
): TestFunction {
  const expected = parameters(signature);
  return (value, args, kwargs) => holds(value, ...bind("test", expected, args, kwargs));
}
