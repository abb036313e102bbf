/** The filters and tests by name: jinja2/filters.py and jinja2/tests.py. */
import { hashable } from "../../../python/values/compare.ts";
import { UnsupportedError } from "../../../python/values/value.ts";
import type { FilterFunction } from "./filter_function.ts";
import { COLLECTION_FILTERS } from "./collection.ts";
import { HTML_FILTERS } from "./html.ts";
import { NUMBER_FILTERS } from "./number.ts";
import { selectionFilters } from "./selection.ts";
import { TEXT_FILTERS } from "./text.ts";
import { TESTS } from "./tests.ts";
import { test, type TestFunction } from "./test_function.ts";

const UNSUPPORTED: ReadonlySet<string> = new Set(["pprint", "random", "urlize", "wordwrap"]);

const FILTERS: ReadonlyMap<string, FilterFunction> = new Map(Object.entries({
  ...TEXT_FILTERS,
  ...NUMBER_FILTERS,
  ...COLLECTION_FILTERS,
  ...selectionFilters({ findFilter, findTest }),
  ...HTML_FILTERS,
}));

const ALL_TESTS: ReadonlyMap<string, TestFunction> = new Map(Object.entries({
  ...TESTS,
  filter: isName((name) => FILTERS.has(name) || UNSUPPORTED.has(name)),
  test: isName((name) => ALL_TESTS.has(name)),
}));

function isName(holds: (name: string) => boolean): TestFunction {
  return test("", (value) => {
    hashable(value);
    return typeof value === "string" && holds(value);
  });
}

/** Undefined if Jinja2 has no such filter. */
export function findFilter(name: string): FilterFunction | undefined {
  if (!UNSUPPORTED.has(name)) return FILTERS.get(name);
  return () => {
    throw new UnsupportedError(`the filter ${name}`);
  };
}

/** Undefined if Jinja2 has no such test. */
export function findTest(name: string): TestFunction | undefined {
  return ALL_TESTS.get(name);
}
