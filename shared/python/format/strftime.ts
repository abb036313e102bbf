/** `datetime.strftime` of a date without a time zone, with C's directives and glibc's flags, in the C locale. */

const DAYS = "Sunday Monday Tuesday Wednesday Thursday Friday Saturday".split(" ");
const MONTHS = "January February March April May June July August September October November December".split(
  " ",
);
const DAY_MS = 86_400_000;
const DIRECTIVE = /%([-_0^#]*)(\d*)[EO]?([\s\S]?)/g;

/** What a directive writes: a number with its width and padding, or a text. */
type Part = { readonly number: number; readonly width: number; readonly pad: "0" | " " } | string;

interface Moment {
  readonly date: Date;
  readonly year: number;
  readonly month: number;
  readonly hour: number;
  readonly weekday: number;
  /** From 0. */
  readonly dayOfYear: number;
}

const number = (number: number, width = 2, pad: "0" | " " = "0"): Part => ({ number, width, pad });
const composed = (format: string) => ({ date }: Moment): Part => strftime(date, format);
const shortMonth = ({ month }: Moment) => MONTHS[month]!.slice(0, 3);
const monthDayYear = composed("%m/%d/%y");
const time = composed("%H:%M:%S");

const DIRECTIVES: Readonly<Record<string, (moment: Moment) => Part>> = {
  a: ({ weekday }) => DAYS[weekday]!.slice(0, 3),
  A: ({ weekday }) => DAYS[weekday]!,
  b: shortMonth,
  h: shortMonth,
  B: ({ month }) => MONTHS[month]!,
  c: composed("%a %b %e %H:%M:%S %Y"),
  C: ({ year }) => number(Math.floor(year / 100)),
  d: ({ date }) => number(date.getUTCDate()),
  D: monthDayYear,
  x: monthDayYear,
  e: ({ date }) => number(date.getUTCDate(), 2, " "),
  f: ({ date }) => number(date.getUTCMilliseconds() * 1000, 6),
  F: composed("%Y-%m-%d"),
  g: ({ date }) => number(isoWeek(date).year % 100),
  G: ({ date }) => number(isoWeek(date).year, 4),
  H: ({ hour }) => number(hour),
  I: ({ hour }) => number(hour % 12 || 12),
  j: ({ dayOfYear }) => number(dayOfYear + 1, 3),
  k: ({ hour }) => number(hour, 2, " "),
  l: ({ hour }) => number(hour % 12 || 12, 2, " "),
  m: ({ month }) => number(month + 1),
  M: ({ date }) => number(date.getUTCMinutes()),
  n: () => "\n",
  p: ({ hour }) => hour < 12 ? "AM" : "PM",
  P: ({ hour }) => hour < 12 ? "am" : "pm",
  r: composed("%I:%M:%S %p"),
  R: composed("%H:%M"),
  s: ({ date }) => number(Math.floor(date.getTime() / 1000), 1),
  S: ({ date }) => number(date.getUTCSeconds()),
  t: () => "\t",
  T: time,
  X: time,
  u: ({ weekday }) => number(weekday || 7, 1),
  U: ({ dayOfYear, weekday }) => number(Math.floor((dayOfYear + 7 - weekday) / 7)),
  V: ({ date }) => number(isoWeek(date).week),
  w: ({ weekday }) => number(weekday, 1),
  W: ({ dayOfYear, weekday }) => number(Math.floor((dayOfYear + 7 - (weekday + 6) % 7) / 7)),
  y: ({ year }) => number(year % 100),
  Y: ({ year }) => number(year, 4),
  z: () => "",
  Z: () => "",
  "%": () => "%",
};

/** `date` is read in UTC. An unknown directive stays as it is written, as in glibc. */
export function strftime(date: Date, format: string): string {
  const moment = momentOf(date);
  return format.replace(DIRECTIVE, (whole, flags: string, width: string, letter: string) => {
    if (!Object.hasOwn(DIRECTIVES, letter)) return whole;
    const part = DIRECTIVES[letter]!(moment);
    const flag = /[-_0]/.exec([...flags].reverse().join(""))?.[0];
    if (typeof part === "string") {
      let text = flags.includes("^") ? part.toUpperCase() : part;
      if (flags.includes("#")) {
        text = letter === "p" || letter === "Z" ? part.toLowerCase() : part.toUpperCase();
      }
      return text.padStart(Number(width), flag === "0" ? "0" : " ");
    }
    const pad = flag === "_" ? " " : flag === "0" ? "0" : part.pad;
    const minWidth = flag === "-" ? 0 : Number(width || part.width);
    return String(part.number).padStart(minWidth, pad);
  });
}

function momentOf(date: Date): Moment {
  const [year, month] = [date.getUTCFullYear(), date.getUTCMonth()];
  const dayOfYear = Math.floor((Date.UTC(year, month, date.getUTCDate()) - Date.UTC(year, 0)) / DAY_MS);
  return { date, year, month, hour: date.getUTCHours(), weekday: date.getUTCDay(), dayOfYear };
}

/** The week of ISO 8601, which belongs to the year that has its Thursday. */
function isoWeek(date: Date): { year: number; week: number } {
  const thursday = new Date(date.getTime() + (4 - (date.getUTCDay() || 7)) * DAY_MS);
  const year = thursday.getUTCFullYear();
  return { year, week: 1 + Math.floor((thursday.getTime() - Date.UTC(year, 0)) / (7 * DAY_MS)) };
}
