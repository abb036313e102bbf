import { assertEquals } from "@std/assert";
import { strftime } from "./strftime.ts";

/** What CPython 3.11 with glibc writes in the C locale. */
const FORMAT =
  "%G-W%V-%u %U %W %j %I%p %y %C %e|%a %A %b %B|%c|%x %X %D %F %R %T %r|%-d %-m %_H %^a %k %l %s %w %g";
const WRITTEN: Readonly<Record<string, string>> = {
  "2021-01-03T23:05:09Z":
    "2020-W53-7 01 00 003 11PM 21 20  3|Sun Sunday Jan January|Sun Jan  3 23:05:09 2021|" +
    "01/03/21 23:05:09 01/03/21 2021-01-03 23:05 23:05:09 11:05:09 PM|3 1 23 SUN 23 11 1609715109 0 20",
  "2016-01-01T12:30:00Z":
    "2015-W53-5 00 00 001 12PM 16 20  1|Fri Friday Jan January|Fri Jan  1 12:30:00 2016|" +
    "01/01/16 12:30:00 01/01/16 2016-01-01 12:30 12:30:00 12:30:00 PM|1 1 12 FRI 12 12 1451651400 5 15",
  "2024-02-29T11:59:59Z":
    "2024-W09-4 08 09 060 11AM 24 20 29|Thu Thursday Feb February|Thu Feb 29 11:59:59 2024|" +
    "02/29/24 11:59:59 02/29/24 2024-02-29 11:59 11:59:59 11:59:59 AM|29 2 11 THU 11 11 1709207999 4 24",
  "1999-12-26T13:00:01Z":
    "1999-W51-7 52 51 360 01PM 99 19 26|Sun Sunday Dec December|Sun Dec 26 13:00:01 1999|" +
    "12/26/99 13:00:01 12/26/99 1999-12-26 13:00 13:00:01 01:00:01 PM|26 12 13 SUN 13  1 946213201 0 99",
};

Deno.test("every directive writes what C writes, also if a week belongs to the neighbouring year", () => {
  for (const [date, text] of Object.entries(WRITTEN)) assertEquals(strftime(new Date(date), FORMAT), text);
});

Deno.test("a directive that there is not stays", () => {
  assertEquals(strftime(new Date(0), "%q %"), "%q %");
});
