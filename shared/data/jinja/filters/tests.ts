/** The tests of `is`: jinja2/tests.py. */
import { binary } from "../../../python/arithmetic.ts";
import { contains, equals, ordered, type OrderOperator } from "../../../python/values/compare.ts";
import { iterateOrNull, lengthOrNull, numeric } from "../../../python/values/protocols.ts";
import { str } from "../../../python/values/repr.ts";
import { CLASSES } from "../../../python/text/classes.ts";
import { PyObject, type Value } from "../../../python/values/value.ts";
import { Range } from "../../../python/values/range.ts";
import { Markup } from "../runtime/objects.ts";
import { test, type TestFunction } from "./test_function.ts";
import { Undefined } from "../runtime/undefined.ts";

const order = (operator: OrderOperator) =>
  test("other, /", (value, other) => ordered(value, operator, other!));
const equal = test("other, /", (value, other) => equals(value, other!));
const unequal = test("other, /", (value, other) => !equals(value, other!));
const remainder = (value: Value, by: Value) => binary(value, "%", by);
const isUndefined = (value: Value) => value instanceof Undefined;
const isText = (value: Value) => typeof value === "string" || value instanceof Markup;

/** `value is other`: the same object; texts and numbers that are equal count as one. */
function isSame(value: Value, other: Value): boolean {
  return value === other;
}

function isSequence(value: Value): boolean {
  if (value instanceof PyObject) {
    return value instanceof Undefined || value instanceof Range || value instanceof Markup;
  }
  return lengthOrNull(value) !== null;
}

/** All but `filter` and `test`, which ask what filters and tests there are. */
export const TESTS: Readonly<Record<string, TestFunction>> = {
  odd: test("", (value) => equals(remainder(value, 2n), 1n)),
  even: test("", (value) => equals(remainder(value, 2n), 0n)),
  divisibleby: test("num", (value, num) => equals(remainder(value, num!), 0n)),
  defined: test("", (value) => !isUndefined(value)),
  undefined: test("", isUndefined),
  none: test("", (value) => value === null),
  boolean: test("", (value) => typeof value === "boolean"),
  false: test("", (value) => value === false),
  true: test("", (value) => value === true),
  integer: test("", (value) => typeof value === "bigint"),
  float: test("", (value) => typeof value === "number"),
  lower: test("", (value) => CLASSES["islower"]!(str(value))),
  upper: test("", (value) => CLASSES["isupper"]!(str(value))),
  string: test("", isText),
  mapping: test("", (value) => value instanceof Map),
  number: test("", (value) => numeric(value) !== null),
  sequence: test("", isSequence),
  iterable: test("", (value) => iterateOrNull(value) !== null),
  callable: test("", (value) => value instanceof PyObject && (value.callable || isUndefined(value))),
  sameas: test("other", (value, other) => isSame(value, other!)),
  escaped: test("", (value) => value instanceof Markup),
  in: test("seq", (value, seq) => contains(seq!, value)),
  "==": equal,
  eq: equal,
  equalto: equal,
  "!=": unequal,
  ne: unequal,
  ">": order(">"),
  gt: order(">"),
  greaterthan: order(">"),
  ge: order(">="),
  ">=": order(">="),
  "<": order("<"),
  lt: order("<"),
  lessthan: order("<"),
  "<=": order("<="),
  le: order("<="),
};
