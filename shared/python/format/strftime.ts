/** `datetime.strftime` of a date without a time zone, with C's directives and glibc's flags, in the C locale. */

const DAYS = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];
const MONTHS = [
  "January",
  "February",
  "March",
  "April",
  "May",
  "June",
  "July",
  "August",
  "September",
  "October",
  "November",
  "December",
];
const DAY_MS = 86_400_000;
const DIRECTIVE = /%([-_0^#]*)(\d*)[EO]?([\s\S]?)/g;

/** What a directive writes: a number with its width and padding, or a text. */
type Part = { readonly number: number; readonly width: number; readonly pad: "0" | " " } | string;

/** `date` is read in UTC. A directive that there is not stays as it is written, as in glibc. */
export function strftime(date: Date, format: string): string {
  return format.replace(DIRECTIVE, (whole, flags: string, width: string, letter: string) => {
    const part = partOf(date, letter);
    if (part === null) return whole;
    const flag = /[-_0]/.exec([...flags].reverse().join(""))?.[0];
    let text: string;
    if (typeof part === "string") {
      text = flags.includes("^") ? part.toUpperCase() : part;
      if (flags.includes("#")) {
        text = letter === "p" || letter === "Z" ? part.toLowerCase() : part.toUpperCase();
      }
      return text.padStart(Number(width), flag === "0" ? "0" : " ");
    }
    const pad = flag === "_" ? " " : flag === "0" ? "0" : part.pad;
    const least = flag === "-" ? 0 : Number(width || part.width);
    return String(part.number).padStart(least, pad);
  });
}

function partOf(date: Date, letter: string): Part | null {
  const number = (number: number, width = 2, pad: "0" | " " = "0"): Part => ({ number, width, pad });
  const year = date.getUTCFullYear();
  const hour = date.getUTCHours();
  const day = date.getUTCDay();
  const dayOfYear = Math.floor(
    (Date.UTC(year, date.getUTCMonth(), date.getUTCDate()) - Date.UTC(year, 0)) / DAY_MS,
  );
  const compose = (format: string) => strftime(date, format);
  switch (letter) {
    case "a":
      return DAYS[day]!.slice(0, 3);
    case "A":
      return DAYS[day]!;
    case "b":
    case "h":
      return MONTHS[date.getUTCMonth()]!.slice(0, 3);
    case "B":
      return MONTHS[date.getUTCMonth()]!;
    case "c":
      return compose("%a %b %e %H:%M:%S %Y");
    case "C":
      return number(Math.floor(year / 100));
    case "d":
      return number(date.getUTCDate());
    case "D":
    case "x":
      return compose("%m/%d/%y");
    case "e":
      return number(date.getUTCDate(), 2, " ");
    case "f":
      return number(date.getUTCMilliseconds() * 1000, 6);
    case "F":
      return compose("%Y-%m-%d");
    case "g":
      return number(isoWeek(date).year % 100);
    case "G":
      return number(isoWeek(date).year, 4);
    case "H":
      return number(hour);
    case "I":
      return number(hour % 12 || 12);
    case "j":
      return number(dayOfYear + 1, 3);
    case "k":
      return number(hour, 2, " ");
    case "l":
      return number(hour % 12 || 12, 2, " ");
    case "m":
      return number(date.getUTCMonth() + 1);
    case "M":
      return number(date.getUTCMinutes());
    case "n":
      return "\n";
    case "p":
      return hour < 12 ? "AM" : "PM";
    case "P":
      return hour < 12 ? "am" : "pm";
    case "r":
      return compose("%I:%M:%S %p");
    case "R":
      return compose("%H:%M");
    case "s":
      return number(Math.floor(date.getTime() / 1000), 1);
    case "S":
      return number(date.getUTCSeconds());
    case "t":
      return "\t";
    case "T":
    case "X":
      return compose("%H:%M:%S");
    case "u":
      return number(day || 7, 1);
    case "U":
      return number(Math.floor((dayOfYear + 7 - day) / 7));
    case "V":
      return number(isoWeek(date).week);
    case "w":
      return number(day, 1);
    case "W":
      return number(Math.floor((dayOfYear + 7 - (day + 6) % 7) / 7));
    case "y":
      return number(year % 100);
    case "Y":
      return number(year, 4);
    case "z":
    case "Z":
      return "";
    case "%":
      return "%";
    default:
      return null;
  }
}

/** The week of ISO 8601, which belongs to the year that has its Thursday. */
function isoWeek(date: Date): { year: number; week: number } {
  const thursday = new Date(date.getTime() + (4 - (date.getUTCDay() || 7)) * DAY_MS);
  const year = thursday.getUTCFullYear();
  return { year, week: 1 + Math.floor((thursday.getTime() - Date.UTC(year, 0)) / (7 * DAY_MS)) };
}
