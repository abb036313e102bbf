import { assertEquals, assertThrows } from "@std/assert";
import { LoraFleetError } from "../../../shared/errors.ts";
import { newestLayout } from "../layout.ts";
import { assertReadable, type BackupHead, DATABASES } from "./format.ts";

const HEAD: BackupHead = {
  ...{ format: 1, layout: newestLayout(), created_at: "2026-11-29T12:00:00.000Z" },
  databases: { ...DATABASES },
};

Deno.test("a backup of this version or an earlier one is readable, one that names no databases too", () => {
  assertReadable("b.tar", HEAD);
  assertReadable("b.tar", { ...HEAD, databases: { "coordinator.sqlite": 1 } });
  assertReadable("b.tar", { ...HEAD, databases: {} });
});

Deno.test("whatever of it is newer is named, with both versions and what to do", () => {
  const newer: readonly (readonly [Partial<BackupHead>, string])[] = [
    [{ format: 2 }, "the format has version 2, and this one reads versions up to 1"],
    [{ layout: 99 }, `the layout has version 99, and this one reads versions up to ${newestLayout()}`],
    ...(["coordinator.sqlite", "access.sqlite"] as const).map((name) =>
      [
        { databases: { ...DATABASES, [name]: 77 } },
        `${name} has version 77, and this one reads versions up to ${DATABASES[name]}`,
      ] as const
    ),
  ];
  for (const [change, what] of newer) {
    const error = assertThrows(() => assertReadable("b.tar", { ...HEAD, ...change }), LoraFleetError);
    assertEquals([error.code, error.param], ["storage", "from"]);
    assertEquals(
      error.message,
      `the backup "b.tar" is from a newer lorafleet: ${what}; update lorafleet, then restore`,
    );
  }
});
