import { assertEquals } from "@std/assert";
import fc from "fast-check";
import { ErrorFeedback } from "./error_feedback.ts";

const UNITS = [{ offset: 0, exponent: 0 }];
const whole = { offset: 0, count: 4 };

function carriedBy(feedback: ErrorFeedback, place = whole): number[] {
  const values = new Float64Array(place.count);
  feedback.addTo(place, values);
  return [...values];
}

function lose(feedback: ErrorFeedback, lost: readonly number[]): void {
  feedback.begin(4, UNITS);
  feedback.keep(whole, Float64Array.from(lost));
}

Deno.test("what a committed step lost is carried over, until the next one is committed", () => {
  const feedback = new ErrorFeedback();
  lose(feedback, [1, -2, 3, 0]);
  assertEquals(feedback.isCarrying, false);
  feedback.commit();
  assertEquals([feedback.isCarrying, carriedBy(feedback)], [true, [1, -2, 3, 0]]);

  lose(feedback, [9, 9, 9, 9]);
  assertEquals(carriedBy(feedback), [1, -2, 3, 0]);
  feedback.commit();
  assertEquals(carriedBy(feedback), [9, 9, 9, 9]);
});

Deno.test("what an attempt lost that was not committed is forgotten, what was carried over stays", () => {
  const feedback = new ErrorFeedback();
  lose(feedback, [1, 1, 1, 1]);
  feedback.forget();
  feedback.commit();
  assertEquals([feedback.isCarrying, carriedBy(feedback)], [false, [0, 0, 0, 0]]);

  lose(feedback, [1, 2, 3, 4]);
  feedback.commit();
  lose(feedback, [5, 5, 5, 5]);
  feedback.forget();
  // Entering the next attempt is the same as forgetting.
  lose(feedback, [6, 6, 6, 6]);
  lose(feedback, [7, 7, 7, 7]);
  assertEquals(carriedBy(feedback), [1, 2, 3, 4]);
  feedback.commit();
  assertEquals(carriedBy(feedback), [7, 7, 7, 7]);
});

Deno.test("units change from step to step: what is carried over is the same part of the gradient", () => {
  const feedback = new ErrorFeedback();
  const place = { offset: 1, count: 6 };
  feedback.begin(8, [{ offset: 0, exponent: -3 }, { offset: 4, exponent: 2 }, { offset: 6, exponent: 0 }]);
  feedback.keep(place, Float64Array.of(8, 16, 24, 1, 2, 3));
  feedback.commit();
  feedback.begin(8, [{ offset: 0, exponent: -2 }, { offset: 4, exponent: 1 }, { offset: 6, exponent: -1 }]);
  assertEquals(carriedBy(feedback, place), [4, 8, 12, 2, 4, 6]);
  assertEquals(carriedBy(feedback, { offset: 5, count: 2 }), [4, 6]);
});

Deno.test("any places and units: whole numbers return to their places", () => {
  const unitsOf = fc.uniqueArray(fc.nat({ max: 40 }), { maxLength: 6 }).chain((offsets) =>
    fc.array(fc.integer({ min: -40, max: 40 }), { minLength: 7, maxLength: 7 }).map((exponents) =>
      [...new Set([0, ...offsets])].sort((a, b) => a - b).map((offset, at) => ({
        offset,
        exponent: exponents[at]!,
      }))
    )
  );
  const lost = fc.array(fc.integer({ min: -(2 ** 24), max: 2 ** 24 }), { minLength: 40, maxLength: 40 });
  fc.assert(fc.property(unitsOf, lost, fc.nat({ max: 40 }), (units, values, cut) => {
    const feedback = new ErrorFeedback();
    const places = [{ offset: 0, count: cut }, { offset: cut, count: 40 - cut }];
    feedback.begin(40, units);
    for (const place of places) {
      feedback.keep(place, Float64Array.from(values.slice(place.offset, place.offset + place.count)));
    }
    feedback.commit();
    feedback.begin(40, units);
    assertEquals(places.flatMap((place) => carriedBy(feedback, place)), values);
  }));
});

Deno.test("a different adapter begins without carried errors", () => {
  const feedback = new ErrorFeedback();
  lose(feedback, [1, 2, 3, 4]);
  feedback.commit();
  feedback.begin(5, UNITS);
  assertEquals(feedback.isCarrying, false);
});
